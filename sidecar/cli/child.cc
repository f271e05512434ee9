// SPDX-License-Identifier: Apache-2.0
// child.cc: see child.h.
#include "cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <map>

#include "cli/failure.h"

namespace otlpshm::cli {

namespace {

std::vector<std::string> merged(const Environment& changes) {
  std::map<std::string, std::string> values;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    values[text.substr(0, text.find('='))] = text;
  }
  for (const auto& [name, value] : changes) {
    values.erase(name);
    if (value) values[name] = name + "=" + *value;
  }
  std::vector<std::string> lines;
  lines.reserve(values.size());
  for (auto& [name, line] : values) lines.push_back(std::move(line));
  return lines;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> result;
  result.reserve(texts.size() + 1);
  for (std::string& text : texts) result.push_back(text.data());
  result.push_back(nullptr);
  return result;
}

// Between fork and exec: only calls that are safe in a signal handler.
[[noreturn]] void become(char* const* arguments, char* const* environment, int out, int err,
                         pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    struct sigaction action {};
    action.sa_handler = SIG_DFL;
    sigaction(number, &action, nullptr);
  }
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

}  // namespace

Child::Child(std::string name, const std::vector<std::string>& command,
             const Environment& environment, OnLine on_line)
    : name_(std::move(name)), on_line_(std::move(on_line)) {
  if (access(command.at(0).c_str(), X_OK) != 0) {
    throw Failure{kExitUnavailable,
                  "cannot run " + command[0] + ": " + error_text(errno) + "; is it installed?"};
  }
  std::vector<std::string> argument_texts = command;
  std::vector<std::string> environment_texts = merged(environment);
  const std::vector<char*> arguments = pointers(argument_texts);
  const std::vector<char*> variables = pointers(environment_texts);

  int out[2] = {-1, -1};
  int err[2] = {-1, -1};
  const pid_t parent = getpid();
  if (pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0) pid_ = fork();
  if (pid_ == 0) become(arguments.data(), variables.data(), out[1], err[1], parent);
  const int error = errno;
  close(out[1]);
  close(err[1]);
  out_.fd = out[0];
  err_.fd = err[0];
  if (pid_ < 0) {
    close(out_.fd);
    close(err_.fd);
    throw Failure{kExitUnavailable, "cannot start " + name_ + ": " + error_text(error)};
  }
  setpgid(pid_, pid_);
  fcntl(out_.fd, F_SETFL, O_NONBLOCK);
  fcntl(err_.fd, F_SETFL, O_NONBLOCK);
}

Child::~Child() {
  terminate();
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(kStopGraceMs);
  on_line_ = nullptr;  // what it calls may be gone
  while (running() && std::chrono::steady_clock::now() < deadline) pump({this}, 20);
  if (!wait_status_) {
    kill(pid_, SIGKILL);
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) continue;
  }
  if (out_.fd >= 0) close(out_.fd);
  if (err_.fd >= 0) close(err_.fd);
}

bool Child::running() {
  reap();
  return !wait_status_ || out_.fd >= 0 || err_.fd >= 0;
}

void Child::terminate() {
  reap();
  if (!wait_status_) kill(pid_, SIGTERM);
}

std::string Child::ending() const {
  if (!wait_status_) return "";
  if (WIFEXITED(*wait_status_)) return "exit status " + std::to_string(WEXITSTATUS(*wait_status_));
  const int number = WTERMSIG(*wait_status_);
  const char* text = sigdescr_np(number);
  return "signal " + std::to_string(number) + " (" + (text ? text : "unknown") + ")";
}

void Child::reap() {
  int status = 0;
  if (!wait_status_ && waitpid(pid_, &status, WNOHANG) == pid_) wait_status_ = status;
}

void Child::read(Stream stream, Pipe& pipe) {
  char bytes[4096];
  const ssize_t count = ::read(pipe.fd, bytes, sizeof bytes);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    close(pipe.fd);
    pipe.fd = -1;
    if (!pipe.partial.empty() && on_line_) on_line_(stream, pipe.partial);
    pipe.partial.clear();
    return;
  }
  for (const char byte : std::string(bytes, static_cast<std::size_t>(count))) {
    if (byte != '\n') {
      if (pipe.partial.size() < kLineBytesMax) pipe.partial += byte;
      continue;
    }
    const std::string line = std::exchange(pipe.partial, {});
    if (on_line_) on_line_(stream, line);
  }
}

void pump(const std::vector<Child*>& children, int timeout_ms) {
  struct Reader {
    Child* child;
    Child::Stream stream;
    Child::Pipe* pipe;
  };
  std::vector<Reader> readers;
  std::vector<pollfd> polled;
  for (Child* child : children) {
    for (const auto& [stream, pipe] :
         {std::pair{Child::Stream::out, &child->out_}, {Child::Stream::err, &child->err_}}) {
      if (pipe->fd < 0) continue;
      readers.push_back({child, stream, pipe});
      polled.push_back({.fd = pipe->fd, .events = POLLIN, .revents = 0});
    }
  }
  if (poll(polled.data(), polled.size(), timeout_ms) <= 0) return;
  for (std::size_t i = 0; i < readers.size(); ++i) {
    if (polled[i].revents != 0) readers[i].child->read(readers[i].stream, *readers[i].pipe);
  }
}

}  // namespace otlpshm::cli
