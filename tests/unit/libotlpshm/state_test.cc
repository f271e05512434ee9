// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "in_child.h"
#include "producer.h"

namespace otlpshm::library {
namespace {

const std::string kId(16, 'i');

std::string good_state() {
  return file_header("OLSHMSTA", 4096, kId) + std::string(4096 - 64, '\0');
}

// Maps `state` of a directory as a producer would, and lets go of it again.
int look(const std::string& path, const char* id = nullptr) {
  const int directory = open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat stat = {};
  if (directory < 0 || fstat(directory, &stat) != 0) return 1;
  const otlpshm_trust trust = otlpshm_trust_of(&stat);
  const otlpshm_daemon_file expected = {OTLPSHM_STATE_MAGIC, 4096,
                                        reinterpret_cast<const std::uint8_t*>(id)};
  void* base = nullptr;
  struct stat found = {};
  const int status = otlpshm_daemon_file_map(directory, "state", &trust, &expected, &base, &found);
  if ((status == OTLPSHM_OK) != (base != nullptr)) return 2;
  if (base != nullptr) munmap(base, 4096);
  close(directory);
  return status;
}

int look_at(const std::string& bytes, const char* id = nullptr) {
  const PrivateDirectory directory;
  write_file(directory.file("state"), bytes);
  return look(directory.path(), id);
}

std::string with(std::size_t at, char value) {
  std::string bytes = good_state();
  bytes[at] = value;
  return bytes;
}

bool is_one_domain(mode_t mode) {
  struct stat stat = {};
  stat.st_mode = S_IFDIR | mode;
  return otlpshm_trust_of(&stat).one_domain;
}

}  // namespace

TEST_CASE("state: a fit file of the expected id is mapped") {
  CHECK(look_at(good_state()) == OTLPSHM_OK);
  CHECK(look_at(good_state(), kId.c_str()) == OTLPSHM_OK);
  CHECK(look_at(good_state(), std::string(16, 'j').c_str()) == OTLPSHM_ERROR_UNTRUSTED);
}

TEST_CASE("state: no file is no daemon") {
  const PrivateDirectory directory;
  CHECK(look(directory.path()) == OTLPSHM_ERROR_NO_DAEMON);
}

TEST_CASE("state: another major or a feature that is required and unknown is abi_skew") {
  CHECK(look_at(with(8, 2)) == OTLPSHM_ERROR_ABI_SKEW);
  CHECK(look_at(with(8, 0)) == OTLPSHM_ERROR_ABI_SKEW);
  CHECK(look_at(with(24, 1)) == OTLPSHM_ERROR_ABI_SKEW);
  CHECK(look_at(with(27, '\x80')) == OTLPSHM_ERROR_ABI_SKEW);
}

TEST_CASE("state: a later minor and optional features are read all the same") {
  CHECK(look_at(with(10, 9)) == OTLPSHM_OK);
  CHECK(look_at(with(28, 1)) == OTLPSHM_OK);
}

TEST_CASE("state: a header that is wrong is not trusted") {
  CHECK(look_at(with(0, 'X')) == OTLPSHM_ERROR_UNTRUSTED);
  CHECK(look_at(with(12, 65)) == OTLPSHM_ERROR_UNTRUSTED);
  CHECK(look_at(with(16, 1)) == OTLPSHM_ERROR_UNTRUSTED);
  CHECK(look_at(std::string(4096, '\0')) == OTLPSHM_ERROR_UNTRUSTED);
}

TEST_CASE("state: a file of another size is not trusted") {
  CHECK(look_at("") == OTLPSHM_ERROR_UNTRUSTED);
  CHECK(look_at(good_state().substr(0, 4095)) == OTLPSHM_ERROR_UNTRUSTED);
  CHECK(look_at(good_state() + "x") == OTLPSHM_ERROR_UNTRUSTED);
}

TEST_CASE("state: a file with a hole would be a SIGBUS, and is not trusted, whatever its header") {
  const PrivateDirectory directory;
  const std::uint64_t bytes = 12288;  // an ack of eight lanes
  const std::string ack = file_header("OLSHMACK", bytes, kId);
  const int fd = open(directory.file("ack").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  REQUIRE(ftruncate(fd, bytes) == 0);
  REQUIRE(pwrite(fd, ack.data(), ack.size(), 0) == static_cast<ssize_t>(ack.size()));
  const int where = open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  const otlpshm_trust trust = {};
  const otlpshm_daemon_file expected = {OTLPSHM_ACK_MAGIC, bytes, nullptr};
  void* base = nullptr;
  struct stat found = {};
  const auto map = [&] {
    return otlpshm_daemon_file_map(where, "ack", &trust, &expected, &base, &found);
  };
  CHECK(map() == OTLPSHM_ERROR_UNTRUSTED);
  REQUIRE(posix_fallocate(fd, 0, bytes - 4096) == 0);
  CHECK(map() == OTLPSHM_ERROR_UNTRUSTED);
  REQUIRE(posix_fallocate(fd, 0, bytes) == 0);
  CHECK(map() == OTLPSHM_OK);
  if (base != nullptr) munmap(base, bytes);
  close(where);
  close(fd);
}

TEST_CASE("state: a link, a pipe, a directory and a device are not trusted, and do not block") {
  const PrivateDirectory directory;
  const std::string name = directory.file("state");
  write_file(directory.file("other"), good_state());
  REQUIRE(symlink("other", name.c_str()) == 0);
  CHECK(look(directory.path()) == OTLPSHM_ERROR_UNTRUSTED);
  REQUIRE(unlink(name.c_str()) == 0);
  REQUIRE(mkfifo(name.c_str(), 0666) == 0);
  CHECK(look(directory.path()) == OTLPSHM_ERROR_UNTRUSTED);
  REQUIRE(unlink(name.c_str()) == 0);
  REQUIRE(mkdir(name.c_str(), 0755) == 0);
  CHECK(look(directory.path()) == OTLPSHM_ERROR_UNTRUSTED);
}

TEST_CASE(
    "state: a directory is one trust domain when all or its group write there without stick") {
  for (const mode_t mode : {0777, 02777, 0757, 02770, 02775}) CHECK(is_one_domain(mode));
  for (const mode_t mode : {0755, 0700, 01777, 03777, 03733, 03770, 0770, 0775, 0730}) {
    CHECK_FALSE(is_one_domain(mode));
  }
}

TEST_CASE("state: whose file a producer trusts depends on the directory") {
  if (geteuid() != 0) return;
  struct Case {
    mode_t mode;
    uid_t directory_owner, file_owner, producer;
    bool trusted;
  };
  const Case cases[] = {
      {0755, 1001, 1001, 1002, true},   // the directory's owner
      {0755, 1001, 0, 1002, true},      // root
      {0755, 1001, 1002, 1002, true},   // the producer itself
      {0755, 1001, 1003, 1002, false},  // somebody
      {03733, 1001, 1001, 1002, true}, {03733, 1001, 1003, 1002, false},
      {01777, 0, 1003, 1002, false},   {0777, 0, 1003, 1002, true},
      {02777, 0, 1003, 1002, true},    {03777, 0, 1003, 1002, false},
  };
  for (const Case& one : cases) {
    const PrivateDirectory directory;
    const std::string name = directory.file("state");
    write_file(name, good_state());
    REQUIRE(chown(name.c_str(), one.file_owner, one.file_owner) == 0);
    REQUIRE(chmod(name.c_str(), 0644) == 0);
    REQUIRE(chown(directory.path().c_str(), one.directory_owner, one.directory_owner) == 0);
    REQUIRE(chmod(directory.path().c_str(), one.mode) == 0);
    const int status = status_of_child([&] {
      REQUIRE(setegid(one.producer) == 0);
      REQUIRE(seteuid(one.producer) == 0);
      REQUIRE(look(directory.path()) == (one.trusted ? OTLPSHM_OK : OTLPSHM_ERROR_UNTRUSTED));
    });
    INFO("mode " << std::oct << one.mode << std::dec << ", file of " << one.file_owner);
    CHECK(status == 0);
  }
}

TEST_CASE("state: a file that cannot be read is not trusted") {
  if (geteuid() != 0) return;
  const PrivateDirectory directory;
  write_file(directory.file("state"), good_state());
  REQUIRE(chmod(directory.file("state").c_str(), 0600) == 0);
  in_child([&] {
    REQUIRE(seteuid(1002) == 0);
    REQUIRE(look(directory.path()) == OTLPSHM_ERROR_UNTRUSTED);
  });
}

TEST_CASE("state: the next file takes the mapping's place, and only a fit one is remembered") {
  const PrivateDirectory directory;
  const std::string name = directory.file("state");
  const int fd = open(directory.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  struct stat stat = {};
  REQUIRE(fstat(fd, &stat) == 0);
  const otlpshm_trust trust = otlpshm_trust_of(&stat);
  const otlpshm_daemon_file expected = {OTLPSHM_STATE_MAGIC, 4096, nullptr};
  void* base = nullptr;
  struct stat found = {};
  const auto map = [&] {
    return otlpshm_daemon_file_map(fd, "state", &trust, &expected, &base, &found);
  };
  write_file(name, good_state());
  REQUIRE(map() == OTLPSHM_OK);
  void* const first = base;
  write_file(name, with(8, 2));
  CHECK(map() == OTLPSHM_ERROR_ABI_SKEW);
  CHECK(map() == OTLPSHM_ERROR_ABI_SKEW);  // also the second time
  write_file(name, with(1000, 'n'));
  CHECK(map() == OTLPSHM_OK);
  CHECK(base == first);
  CHECK(static_cast<const char*>(base)[1000] == 'n');
  munmap(base, 4096);
  close(fd);
}

}  // namespace otlpshm::library
