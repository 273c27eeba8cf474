"""Ways out of a sandbox, one per row: what it is called, what it tries, how it is judged.

A probe returns something true if it did what a sandbox must not allow, and something false or an
exception if it was stopped. `python escapes.py FACTS NAME...` prints one JSON object: name -> "done",
or why not. FACTS is a JSON file with what the test prepared (paths, ports, process numbers). The same program run
without a sandbox is the control: there a probe of the kind "control" must succeed. The kind says otherwise where even
a user without a sandbox cannot do it: "root" needs root for the control, "strict" is kept at that level alone, "kernel" and the rest
are judged inside only.

Standard library only; nothing here harms: what is written is the test's own or is put back.
"""

import ctypes
import errno
import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import struct
import subprocess
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
F = {}
ROWS = []


def probe(kind="control"):
    def add(function):
        ROWS.append((function.__name__, kind, function))
        return function

    return add


def check(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def call(number, *arguments):
    """A system call; its result, or OSError."""
    return check(LIBC.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]))


X86 = os.uname().machine == "x86_64"
OLD = {  # x86_64, aarch64
    "ptrace": (101, 117), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "perf_event_open": (298, 241), "bpf": (321, 280), "userfaultfd": (323, 282), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "kcmp": (312, 272), "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262), "kexec_load": (246, 104), "init_module": (175, 105), "delete_module": (176, 106),
    "reboot": (169, 142), "syslog": (103, 116), "settimeofday": (164, 170), "sethostname": (170, 161),
    "swapon": (167, 224), "acct": (163, 89), "clone": (56, 220), "personality": (135, 92), "quotactl": (179, 60),
    "memfd_create": (319, 279), "mknodat": (259, 33), "setdomainname": (171, 162), "move_pages": (279, 239),
}
NEW = {  # the same everywhere
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fspick": 433,
    "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438, "mount_setattr": 442, "pidfd_send_signal": 424,
    "landlock_create_ruleset": 444, "quotactl_fd": 443, "process_madvise": 440,
}


def number(name):
    return NEW[name] if name in NEW else OLD[name][0 if X86 else 1]


def reads(path):
    with open(path, "rb") as file:
        file.read(16)
    return True


def lists(path):
    return len(os.listdir(path)) > 0


def writes(path):
    with open(path, "ab"):
        return True


def makes(folder):
    path = os.path.join(folder, "probe-%d" % os.getpid())
    with open(path, "wb"):
        pass
    os.unlink(path)
    return True


def connects(address, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        s.settimeout(3)
        s.connect(address)
    return True


def in_child(work):
    """What `work` returns in a process of its own."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


# --- files -----------------------------------------------------------------------------------------

@probe()
def read_a_secret_in_home():
    return reads(F["secret"])


@probe()
def list_home():
    return os.path.basename(F["secret"]) in os.listdir(F["home"])


@probe()
def read_ssh_key():
    return reads(os.path.join(F["home"], ".ssh/id_test"))


@probe()
def read_cloud_credentials():
    return reads(os.path.join(F["home"], ".aws/credentials"))


@probe()
def write_shell_startup():
    path = os.path.join(F["home"], ".bashrc")
    with open(path, "rb") as file:
        return b"marker" in file.read() and writes(path)


@probe()
def secret_by_dot_dot():
    return reads(os.path.join(F["project"], "..", os.path.relpath(F["secret"], os.path.dirname(F["project"]))))


@probe()
def secret_by_symlink_in_project():
    link = os.path.join(F["project"], "probe-link")
    os.symlink(F["secret"], link)
    try:
        return reads(link)
    finally:
        os.unlink(link)


@probe()
def secret_by_prepared_symlink():
    return reads(os.path.join(F["project"], "leads-out"))


@probe()
def secret_by_hard_link():
    link = os.path.join(F["project"], "probe-hard")
    os.link(F["secret"], link)
    try:
        return reads(link)
    finally:
        os.unlink(link)


@probe()
def secret_by_proc_root():
    return reads("/proc/self/root" + F["secret"])


@probe()
def secret_by_proc_1_root():
    return reads("/proc/%d/root%s" % (F["outer"] if os.path.exists("/proc/%d" % F["outer"]) else 1, F["secret"]))


@probe()
def secret_by_proc_cwd():
    return reads("/proc/%d/cwd/../%s" % (os.getppid(), os.path.relpath(F["secret"], os.path.dirname(F["project"]))))


@probe()
def write_beside_project():
    # Inside, the directory that holds the project is private: nothing of the host is in it.
    return os.path.exists(F["tmp_file"]) and makes(os.path.dirname(F["project"]))


@probe()
def rename_project():
    other = F["project"] + "-moved"
    os.rename(F["project"], other)
    os.rename(other, F["project"])
    return True


@probe()
def write_a_file_of_tmp():
    with open(F["tmp_file"], "rb") as file:
        return file.read() == b"outside"


@probe()
def read_hidden_file_in_project():
    return reads(F["hidden"])


@probe()
def remove_hidden_file():
    os.rename(F["hidden"], F["hidden"] + ".x")
    os.rename(F["hidden"] + ".x", F["hidden"])
    return True


@probe()
def write_given_for_reading():
    return writes(os.path.join(F["given"], "file"))


@probe()
def chmod_given_for_reading():
    os.chmod(os.path.join(F["given"], "file"), 0o644)
    return True


@probe()
def set_times_of_given_for_reading():
    os.utime(os.path.join(F["given"], "file"))
    return True


@probe("root")
def write_usr():
    return makes("/usr/local/lib")


@probe("root")
def write_etc():
    return makes("/etc")


@probe("root")
def write_etc_passwd():
    return writes("/etc/passwd")


@probe("root")
def read_shadow():
    with open("/etc/shadow", "rb") as file:
        return len(file.read()) > 0


@probe("root")
def write_root():
    return makes("/")


@probe("root")
def read_var():
    return lists("/var/lib")


@probe()
def read_var_log():
    return lists("/var/log")


@probe()
def read_run():
    return lists("/run")


@probe()
def read_boot_or_srv():
    return os.path.exists("/boot") or os.path.exists("/srv")


@probe()
def write_dev_shm_of_host():
    return reads(F["shm_file"])


@probe()
def write_var_tmp_of_host():
    return reads(F["var_tmp_file"])


@probe()
def write_interpreter():
    base = F["interpreter_prefix"]
    return os.access(base, os.W_OK) and makes(base) if os.getuid() else makes(base)


@probe()
def open_by_handle():
    handle = ctypes.create_string_buffer(128)
    struct.pack_into("I", handle, 0, 120)
    mount_id = ctypes.c_int()
    call(number("name_to_handle_at"), -100, ctypes.c_char_p(F["project"].encode()), handle, ctypes.byref(mount_id), 0)
    return True


# --- the store and its daemon ----------------------------------------------------------------------

@probe()
def list_store():
    return lists(os.path.join(F["blast_home"], "store"))


@probe()
def write_store():
    return os.path.isdir(os.path.join(F["blast_home"], "store")) and makes(F["blast_home"])


@probe()
def see_other_environment():
    return os.path.exists(os.path.join(F["blast_home"], "live", "other"))


@probe()
def list_environments():
    return len([n for n in os.listdir(os.path.join(F["blast_home"], "live")) if not n.startswith(".")]) > 1


@probe("inside")
def list_generations():
    return len(os.listdir(os.path.join(F["blast_home"], "live", ".generation"))) > 1


@probe()
def talk_to_daemon():
    return connects(os.path.join(F["runtime"], "daemon.sock"), socket.AF_UNIX)


@probe()
def forge_daemon_request():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(os.path.join(F["runtime"], "daemon.sock"))
        s.sendall(b'{"request":"environments"}\n')
        return len(s.recv(16)) > 0


@probe()
def kill_daemon():
    os.kill(F["daemon"], 0)
    return os.path.realpath("/proc/%d/exe" % F["daemon"]).endswith("blast")


@probe()
def read_cache():
    return os.path.isdir(F["cache"])


@probe()
def write_config():
    return os.path.isdir(os.path.join(F["config"])) and makes(F["config"])


# --- processes -------------------------------------------------------------------------------------

@probe()
def see_processes_of_host():
    return os.path.exists("/proc/%d/status" % F["outer"]) and F["marker"] in open("/proc/%d/cmdline" % F["outer"]).read()


@probe()
def count_processes_of_host():
    return any(F["marker"] in open("/proc/%s/cmdline" % n).read() for n in os.listdir("/proc") if n.isdigit() and int(n) != os.getpid())


@probe()
def signal_process_of_host():
    os.kill(F["outer"], 0)
    return F["marker"] in open("/proc/%d/cmdline" % F["outer"]).read()


@probe()
def read_memory_of_host_process():
    return reads("/proc/%d/maps" % F["outer"]) and F["marker"] in open("/proc/%d/cmdline" % F["outer"]).read()


@probe()
def read_environment_of_host_process():
    return b"PROBE_SECRET" in open("/proc/%d/environ" % F["outer"], "rb").read()


@probe("inside")
def kill_init():
    os.kill(1, signal.SIGKILL)
    time.sleep(0.2)
    return False


@probe("inside")
def look_into_init():
    return len(open("/proc/1/environ", "rb").read()) >= 0


@probe("inside")
def open_memory_of_init():
    return writes("/proc/1/mem")


@probe("inside")
def descriptors_of_init():
    return lists("/proc/1/fd")


@probe("inside")
def root_of_init():
    return lists("/proc/1/root")


@probe("inside")
def namespaces_of_init():
    os.readlink("/proc/1/ns/mnt")
    return True


@probe()
def trace_child():
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    try:
        call(number("ptrace"), 16, child, 0, 0)
        return True
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


@probe()
def trace_me():
    return in_child(lambda: call(number("ptrace"), 0, 0, 0, 0) == 0)


def vector(text):
    buffer = ctypes.create_string_buffer(text)
    return buffer, struct.pack("QQ", ctypes.addressof(buffer), 4)


@probe()
def read_memory_by_call():
    (_a, one), (_b, two) = vector(b"aaaa"), vector(b"bbbb")
    return call(number("process_vm_readv"), os.getpid(), ctypes.c_char_p(one), 1, ctypes.c_char_p(two), 1, 0) == 4


@probe()
def write_memory_by_call():
    (_a, one), (_b, two) = vector(b"aaaa"), vector(b"bbbb")
    return call(number("process_vm_writev"), os.getpid(), ctypes.c_char_p(one), 1, ctypes.c_char_p(two), 1, 0) == 4


@probe()
def steal_descriptor():
    child = call(number("pidfd_open"), os.getpid(), 0)
    call(number("pidfd_getfd"), child, 1, 0)
    return True


@probe()
def compare_kernel_objects():
    return call(number("kcmp"), os.getpid(), os.getpid(), 0, 1, 2) >= 0


@probe()
def inherited_descriptors():
    return any(int(n) > 2 and os.path.exists("/proc/self/fd/" + n) and F["leak"] in os.readlink("/proc/self/fd/" + n)
               for n in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + n))


@probe()
def inherited_variable():
    return os.environ["PROBE_TOKEN"] == "secret"


@probe()
def agent_socket_variable():
    return bool(os.environ["SSH_AUTH_SOCK"])


@probe()
def session_of_caller():
    return os.getsid(0) != os.getpid() and os.getsid(os.getppid()) == os.getsid(0) and os.getsid(0) not in (0, 2)


# --- namespaces and mounts -------------------------------------------------------------------------

FLAGS = {"user": 0x10000000, "mount": 0x20000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x8000000,
         "uts": 0x4000000, "cgroup": 0x2000000}


@probe()
def new_user_namespace():
    return in_child(lambda: call(number("unshare"), FLAGS["user"]) == 0)


@probe()
def new_user_and_mount_namespace():
    return in_child(lambda: call(number("unshare"), FLAGS["user"] | FLAGS["mount"]) == 0)


@probe("root")
def new_mount_namespace():
    return in_child(lambda: call(number("unshare"), FLAGS["mount"]) == 0)


@probe("root")
def new_net_namespace():
    return in_child(lambda: call(number("unshare"), FLAGS["net"]) == 0)


@probe()
def clone_into_user_namespace():
    pid = call(number("clone"), FLAGS["user"] | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


@probe()
def clone3_into_user_namespace():
    arguments = struct.pack("8Q", FLAGS["user"], 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    pid = call(number("clone3"), ctypes.c_char_p(arguments), len(arguments))
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


@probe("root")
def enter_own_namespace_again():
    with open("/proc/self/ns/uts") as file:
        return in_child(lambda: call(number("setns"), file.fileno(), 0) == 0)


@probe("root")
def mount_tmpfs():
    target = ctypes.c_char_p(F["project"].encode())

    def work():
        call(number("unshare"), FLAGS["mount"])
        call(number("mount"), ctypes.c_char_p(b"none"), ctypes.c_char_p(b"/"), None, 0x44000, None)
        call(number("mount"), ctypes.c_char_p(b"x"), target, ctypes.c_char_p(b"tmpfs"), 0, None)
        return True

    return in_child(work)


@probe("inside")
def unmount_hidden():
    call(number("umount2"), ctypes.c_char_p(F["hidden"].encode()), 2)
    return True


@probe("inside")
def unmount_proc():
    call(number("umount2"), ctypes.c_char_p(b"/proc"), 2)
    return True


@probe("inside")
def remount_usr_writable():
    call(number("mount"), None, ctypes.c_char_p(b"/usr"), None, 32 | 4096, None)
    return True


@probe("inside")
def remount_root_writable():
    call(number("mount"), None, ctypes.c_char_p(b"/"), None, 32 | 4096, None)
    return makes("/")


@probe("inside")
def change_mount_attributes():
    attributes = struct.pack("4Q", 0, 1, 0, 0)
    call(number("mount_setattr"), -100, ctypes.c_char_p(b"/usr"), 0, ctypes.c_char_p(attributes), len(attributes))
    return True


@probe("inside")
def bind_over_project():
    call(number("mount"), ctypes.c_char_p(b"/usr"), ctypes.c_char_p(F["project"].encode()), None, 4096, None)
    return True


@probe("root")
def open_detached_mount():
    return call(number("open_tree"), -100, ctypes.c_char_p(b"/"), 1) >= 0


@probe("root")
def open_file_system():
    return call(number("fsopen"), ctypes.c_char_p(b"tmpfs"), 0) >= 0


@probe("root")
def change_root():
    return in_child(lambda: call(number("chroot"), ctypes.c_char_p(F["project"].encode())) == 0)


@probe("inside")
def pivot():
    call(number("pivot_root"), ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    return True


@probe("root")
def make_device():
    path = os.path.join(F["project"], "probe-device")
    os.mknod(path, 0o600 | 0o060000, os.makedev(254, 0))
    os.unlink(path)
    return True


@probe("root")
def open_disk():
    return any(reads("/dev/" + n) for n in os.listdir("/dev") if n in ("vda", "sda", "nvme0n1"))


@probe()
def open_fuse_device():
    return writes("/dev/fuse")


@probe("inside")
def devices_are_few():
    usual = {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm"}
    return bool(set(os.listdir("/dev")) - usual)


@probe("root")
def open_kernel_log():
    return reads("/dev/kmsg")


@probe()
def set_user_id_program():
    path = os.path.join(F["project"], "probe-suid")
    with open(path, "wb") as file:
        file.write(b"x")
    os.chmod(path, 0o4755)
    try:
        return not os.statvfs(path).f_flag & os.ST_NOSUID
    finally:
        os.unlink(path)


@probe("inside")
def become_another_user():
    os.setuid(0 if os.getuid() else 65534)
    return True


@probe("root")
def drop_groups():
    return in_child(lambda: os.setgroups([]) is None)


@probe("inside")
def has_capabilities():
    lines = open("/proc/self/status").read().splitlines()
    return any(int(l.split()[1], 16) for l in lines if l.startswith(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")))


@probe("inside")
def may_gain_privileges():
    return "NoNewPrivs:\t1" not in open("/proc/self/status").read()


@probe("inside")
def has_no_filter():
    return "Seccomp:\t2" not in open("/proc/self/status").read()


# --- the kernel ------------------------------------------------------------------------------------

@probe()
def read_kernel_symbols():
    return reads("/proc/kallsyms")


@probe("root")
def read_kernel_memory():
    return reads("/proc/kcore")


@probe()
def read_keys():
    return open("/proc/keys").read() is not None


@probe()
def read_interrupts():
    return reads("/proc/interrupts")


@probe("root")
def write_sysrq():
    return os.open("/proc/sysrq-trigger", os.O_WRONLY) >= 0


@probe("root")
def write_core_pattern():
    return os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY) >= 0


@probe("root")
def write_ip_forward():
    return os.open("/proc/sys/net/ipv4/ip_forward", os.O_WRONLY) >= 0


@probe("root")
def write_modprobe_path():
    return os.open("/proc/sys/kernel/modprobe", os.O_WRONLY) >= 0


@probe("root")
def write_dirty_ratio():
    return os.open("/proc/sys/vm/dirty_ratio", os.O_WRONLY) >= 0


@probe()
def read_sys_of_host():
    return lists("/sys/class") or lists("/sys/kernel")


@probe("root")
def write_sys():
    return os.open("/sys/kernel/uevent_helper", os.O_WRONLY) >= 0 if os.path.exists("/sys/kernel/uevent_helper") \
        else makes("/sys/fs/cgroup/unified") or True


@probe("root")
def write_cgroup():
    folder = [p for p in ("/sys/fs/cgroup/memory", "/sys/fs/cgroup") if os.path.isdir(p)][0]
    path = os.path.join(folder, "probe-%d" % os.getpid())
    os.mkdir(path)
    os.rmdir(path)
    return True


@probe("root")
def read_kernel_ring():
    return call(number("syslog"), 10, None, 0) > 0


@probe()
def add_key():
    return call(number("add_key"), ctypes.c_char_p(b"user"), ctypes.c_char_p(b"probe"), ctypes.c_char_p(b"x"), 1, -2) > 0


@probe()
def read_session_keyring():
    return call(number("keyctl"), 0, -3, 1) > 0


@probe()
def request_key():
    try:
        call(number("request_key"), ctypes.c_char_p(b"user"), ctypes.c_char_p(b"probe-none"), None, 0)
    except OSError as error:
        return error.errno == errno.ENOKEY
    return True


@probe("root")
def load_bpf():
    attributes = struct.pack("4I", 1, 4, 8, 1) + bytes(56)
    return call(number("bpf"), 0, ctypes.c_char_p(attributes), len(attributes)) >= 0


@probe("kernel")
def set_up_io_uring():
    return call(number("io_uring_setup"), 4, ctypes.create_string_buffer(256)) >= 0


@probe("kernel")
def count_by_perf():
    attributes = ctypes.create_string_buffer(struct.pack("IIQ", 1, 128, 0) + bytes(112))
    return call(number("perf_event_open"), attributes, 0, -1, -1, 0) >= 0


@probe("kernel")
def handle_page_faults():
    return call(number("userfaultfd"), 1) >= 0


@probe("root")
def watch_all_files():
    return call(number("fanotify_init"), 0, 0) >= 0


def refused(name, *arguments):
    """Whether the call gets past who may call it: any error but EPERM and ENOSYS."""
    try:
        call(number(name), *arguments)
    except OSError as error:
        return error.errno not in (errno.EPERM, errno.ENOSYS)
    return True


@probe("root")
def load_module():
    return refused("init_module", None, 0, None)


@probe("root")
def remove_module():
    return refused("delete_module", ctypes.c_char_p(b"no_such_module"), 0)


@probe("root")
def load_another_kernel():
    return refused("kexec_load", 0, 99, None, 0)


@probe("root")
def restart_machine():
    return refused("reboot", 1, 2, 3, None)


@probe("root")
def set_clock():
    return refused("settimeofday", ctypes.c_char_p(struct.pack("qq", -1, -1)), None)


@probe("root")
def swap_on():
    return refused("swapon", ctypes.c_char_p(b"/no/such"), 0)


@probe("root")
def account():
    return refused("acct", ctypes.c_char_p(b"/no/such"))


@probe("root")
def name_of_host():
    return refused("sethostname", ctypes.c_char_p(b"x"), 1000)


@probe("inside")
def see_name_of_host():
    return socket.gethostname() == F["host_name"] and F["host_name"] != "sandbox"


@probe("root")
def set_quota():
    return refused("quotactl", 0x7fffffff, None, 0, None)


@probe()
def change_personality():
    return in_child(lambda: call(number("personality"), 0x0400000) >= 0)


@probe("inside")
def calls_of_x32():
    try:
        call(0x40000000 + 39)
    except OSError as error:
        return error.errno != errno.ENOSYS
    return True


@probe()
def type_into_terminal():
    master, slave = pty.openpty()
    fcntl.ioctl(slave, 0x5412, b"x") if os.getuid() == 0 else _with_terminal(slave)
    return True


def _with_terminal(slave):
    def work():
        os.setsid()
        fcntl.ioctl(slave, 0x540E, 0)
        fcntl.ioctl(slave, 0x5412, b"x")
        return True

    # Newer kernels refuse it to all but root (dev.tty.legacy_tiocsti).
    if not in_child(work):
        raise OSError(errno.EPERM, "TIOCSTI")


@probe("inside")
def paste_into_terminal():
    _, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, 0x541C, b"\x03")
    except OSError as error:
        return error.errno != errno.EPERM
    return True


@probe("inside")
def controlling_terminal():
    return os.open("/dev/tty", os.O_RDWR) >= 0


@probe()
def change_line_discipline():
    _, slave = pty.openpty()
    fcntl.ioctl(slave, 0x5423, struct.pack("i", 0))  # TIOCSETD, N_TTY
    return True


@probe()
def overwrite_own_program():
    blast = F["program"]
    return os.path.exists(blast) and os.access(blast, os.W_OK) and os.open(blast, os.O_RDONLY) >= 0


# --- network ---------------------------------------------------------------------------------------

@probe()
def connect_to_host_loopback():
    return connects(("127.0.0.1", F["port"]))


@probe()
def connect_to_host_loopback_6():
    return connects(("::1", F["port6"]), socket.AF_INET6)


@probe()
def connect_to_host_any():
    return connects(("0.0.0.0", F["port"]))


@probe()
def connect_to_mapped_address():
    return connects(("::ffff:127.0.0.1", F["port"]), socket.AF_INET6)


@probe()
def connect_to_address_of_host():
    return connects((F["address"], F["port"]))


@probe()
def send_datagram_to_host():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(2)
        s.sendto(b"probe", (F["address"], F["udp"]))
        return s.recv(16) == b"heard"


@probe()
def fast_open_to_host():
    with socket.socket() as s:
        s.settimeout(2)
        try:
            s.sendto(b"x", 0x20000000, (F["address"], F["port"]))
        except BlockingIOError:  # it is on its way, or there is nobody: this host may have no address but its loopback
            select.select([], [s], [], 2)
        return s.getpeername()[1] == F["port"]


@probe()
def route_to_world():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 53))
    return True


@probe()
def connect_to_abstract_socket():
    return connects("\0" + F["abstract"], socket.AF_UNIX)


@probe()
def connect_to_socket_file():
    return connects(F["socket"], socket.AF_UNIX)


@probe()
def see_sockets_of_host():
    return F["abstract"] in open("/proc/net/unix").read()


@probe("root")
def raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
    return True


@probe("root")
def packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300).close()
    return True


@probe("kernel")
def virtual_machine_socket():
    socket.socket(40, socket.SOCK_STREAM).close()
    return True


@probe("kernel")
def crypto_socket():
    socket.socket(38, socket.SOCK_SEQPACKET).close()
    return True


@probe("kernel")
def bluetooth_socket():
    socket.socket(31, socket.SOCK_RAW, 1).close()
    return True


@probe("kernel")
def audit_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9).close()
    return True


@probe("kernel")
def connector_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 11).close()
    return True


@probe("kernel")
def netfilter_netlink():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12).close()
    return True


@probe()
def interfaces_of_host():
    return len(socket.if_nameindex()) > 1


@probe("inside")
def raise_an_interface():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, 0x8914, struct.pack("16sh14x", b"lo", 0))
    return True


@probe()
def listen_for_host():
    if F["address"].startswith("127."):
        raise OSError(errno.EADDRNOTAVAIL, "the host has no address of its own")
    with socket.socket() as s:
        s.bind((F["address"], 0))
    return True


# --- what it uses up -------------------------------------------------------------------------------

@probe()
def many_processes():
    """More than --pids-max allows."""
    children = []
    try:
        for _ in range(F["pids"] + 20):
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            children.append(child)
        return True
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


@probe()
def much_memory():
    """More than --memory-max allows, touched."""

    def work():
        block = bytearray(F["memory"] + (64 << 20))
        block[::4096] = b"x" * len(block[::4096])
        return True

    return in_child(work)


@probe()
def much_memory_of_all():
    """The same by several processes and by memory that they share."""
    import mmap

    def work():
        parts = [mmap.mmap(-1, F["memory"] // 2 + (32 << 20)) for _ in range(2)]
        for part in parts:
            for at in range(0, len(part), 4096):
                part[at] = 1
        return True

    return in_child(work)


@probe()
def large_file():
    path = os.path.join(F["project"], "probe-large")
    try:
        with open(path, "wb") as file:
            file.truncate(F["file_size"] + 1)
        return True
    finally:
        if os.path.exists(path):
            os.unlink(path)


@probe()
def many_bytes_in_tmp():
    path = "/tmp/probe-tmp-%d" % os.getpid()
    try:
        for part in range(8):
            with open(path + str(part), "wb") as file:
                for _ in range(F["tmp_size"] // (1 << 20) // 4):
                    file.write(bytes(1 << 20))
        return True
    finally:
        for part in range(8):
            if os.path.exists(path + str(part)):
                os.unlink(path + str(part))


def fills(folder):
    """More into a place of private files than --tmp-size allows."""
    path = os.path.join(folder, "probe-fills-%d" % os.getpid())
    try:
        with open(path, "wb") as file:
            for _ in range(F["tmp_size"] // (1 << 20) + 8):
                file.write(bytes(1 << 20))
        return True
    finally:
        if os.path.exists(path):
            os.unlink(path)


@probe()
def many_bytes_in_shared_memory():
    return fills("/dev/shm")


@probe()
def many_bytes_in_var_tmp():
    return fills("/var/tmp")


@probe()
def many_bytes_in_home():
    return fills(F["home"])


@probe("inside")
def many_bytes_in_environment():
    return fills(sys.prefix)


@probe("inside")
def raise_limits():
    for limit in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE, resource.RLIMIT_NPROC):
        try:
            resource.setrlimit(limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        except (ValueError, OSError):
            continue
        return True
    return False


@probe("inside")
def dump_core():
    return resource.getrlimit(resource.RLIMIT_CORE)[0] != 0


# --- what is left for others ------------------------------------------------------------------------

def left_behind(make):
    """Whether `make` leaves a file in the project that is who owns it, whoever runs it."""
    path = os.path.join(F["project"], "left-%d" % os.getpid())
    try:
        make(path)
        return os.stat(path).st_mode & 0o4000 != 0
    finally:
        if os.path.exists(path):
            os.unlink(path)


def made_with_mode(path):
    os.umask(0)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o4755))


def changed_to_mode(path):
    open(path, "w").close()
    os.chmod(path, 0o4755)


def changed_by_number(path):
    with open(path, "w") as file:
        os.fchmod(file.fileno(), 0o4755)


def changed_by_the_newest_call(path):
    open(path, "w").close()
    call(452, -100, ctypes.c_char_p(path.encode()), 0o4755, 0)


def made_by_the_newest_call(path):
    os.umask(0)
    how = struct.pack("QQQ", os.O_CREAT | os.O_WRONLY, 0o4755, 0)
    os.close(call(437, -100, ctypes.c_char_p(path.encode()), ctypes.c_char_p(how), 24))


def made_as_node(path):
    os.umask(0)
    os.mknod(path, 0o100000 | 0o4755)


@probe()
def leave_set_user_id_file_by_open():
    return left_behind(made_with_mode)


@probe()
def leave_set_user_id_file_by_chmod():
    return left_behind(changed_to_mode)


@probe()
def leave_set_user_id_file_by_fchmod():
    return left_behind(changed_by_number)


@probe("kernel")
def leave_set_user_id_file_by_fchmodat2():
    return left_behind(changed_by_the_newest_call)


@probe()
def leave_set_user_id_file_by_openat2():
    return left_behind(made_by_the_newest_call)


@probe()
def leave_set_user_id_file_by_mknod():
    return left_behind(made_as_node)


@probe("root")
def leave_file_with_capabilities():
    path = os.path.join(F["project"], "capable-%d" % os.getpid())
    open(path, "w").close()
    try:
        os.setxattr(path, "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0))
        return True
    finally:
        os.unlink(path)


@probe("root")
def leave_file_that_nobody_can_remove():
    path = os.path.join(F["project"], "immutable-%d" % os.getpid())
    with open(path, "w") as file:
        try:
            fcntl.ioctl(file, 0x40086602, struct.pack("l", 0x10))  # FS_IOC_SETFLAGS, FS_IMMUTABLE_FL
            fcntl.ioctl(file, 0x40086602, struct.pack("l", 0))
            return True
        finally:
            os.unlink(path)


@probe("root")
def leave_trusted_attribute():
    path = os.path.join(F["project"], "trusted-%d" % os.getpid())
    open(path, "w").close()
    try:
        os.setxattr(path, "trusted.probe", b"x")
        return True
    finally:
        os.unlink(path)


def leaves(path, text="[probe]\n"):
    """Whether a file of the project becomes another, whatever was there. It is put back."""
    path = os.path.join(F["project"], path)
    before = None
    if os.path.exists(path):
        with open(path) as file:
            before = file.read()
    beside = path + ".probe"
    done = False
    for put in (lambda: os.replace(beside, path), lambda: _write(path, text)):
        try:
            _write(beside, text)
            put()
            done = True
        except OSError:
            pass
    if os.path.exists(beside):
        os.unlink(beside)
    if done and before is None:
        os.unlink(path)
    elif done:
        _write(path, before)
    return done


def _write(path, text):
    with open(path, "w") as file:
        file.write(text)


@probe()
def leave_program_for_git():
    """A hook, which git runs outside, and nothing that was there before is lost."""
    return leaves(".git/hooks/post-checkout", "#!/bin/sh\n")


@probe()
def name_program_for_git():
    return writes(os.path.join(F["project"], ".git/config"))


@probe()
def replace_settings_of_git():
    return leaves(".git/config")


@probe()
def settings_of_one_working_tree():
    return leaves(".git/config.worktree")


@probe("strict")
def lead_git_to_another_repository():
    """Its file that says where hooks and settings are. At level standard the repository itself can be written."""
    return leaves(".git/commondir", "../elsewhere\n")


@probe()
def leave_program_for_git_in_a_submodule():
    return leaves(".git/modules/sub/hooks/post-checkout", "#!/bin/sh\n")


@probe()
def name_program_for_git_in_a_submodule():
    return leaves(".git/modules/sub/config")


@probe()
def make_a_submodule():
    return makes(os.path.join(F["project"], ".git/modules/sub"))


@probe()
def lead_a_submodule_elsewhere():
    return leaves("sub/.git", "gitdir: ../elsewhere\n")


@probe()
def move_a_submodule_away():
    folder = os.path.join(F["project"], "sub")
    os.rename(folder, folder + ".away")
    os.rename(folder + ".away", folder)
    return True


@probe()
def lead_a_working_tree_elsewhere():
    return leaves(".git/worktrees/other/commondir", "../elsewhere\n")


@probe()
def move_settings_of_git_away():
    folder = os.path.join(F["project"], ".git")
    os.rename(folder, folder + ".away")
    os.rename(folder + ".away", folder)
    return True


@probe()
def close_git_and_open_it_again():
    """Who cannot be looked into when a sandbox is made must not be open in it."""
    folder = os.path.join(F["project"], ".git/hooks")
    mode = os.stat(folder).st_mode & 0o777
    os.chmod(folder, 0)
    os.chmod(folder, mode)
    return True


@probe()
def leave_task_for_editor():
    return leaves(".vscode/tasks.json", "{}")


@probe()
def leave_another_file_for_editor():
    return leaves(".vscode/settings.json", "{}")


@probe()
def leave_program_for_another_editor():
    return leaves(".idea/workspace.xml", "<project/>")


@probe()
def leave_commands_for_shell():
    return leaves(".envrc", "true\n")


# --- other processes by what numbers them -------------------------------------------------------------

@probe()
def hold_process_of_host():
    return call(number("pidfd_open"), F["outer"], 0) >= 0


@probe()
def signal_process_of_host_by_descriptor():
    descriptor = call(number("pidfd_open"), F["outer"], 0)
    return call(number("pidfd_send_signal"), descriptor, 0, None, 0) == 0


@probe()
def limits_of_host_process():
    return len(resource.prlimit(F["outer"], resource.RLIMIT_NOFILE)) == 2


@probe()
def processors_of_host_process():
    return len(os.sched_getaffinity(F["outer"])) > 0


@probe()
def session_of_host_process():
    return os.getsid(F["outer"]) > 0


@probe()
def priority_of_host_process():
    os.setpriority(os.PRIO_PROCESS, F["outer"], os.getpriority(os.PRIO_PROCESS, F["outer"]) + 1)
    return True


@probe()
def signals_of_a_file_to_host_process():
    read, _ = os.pipe()
    fcntl.fcntl(read, fcntl.F_SETOWN, F["outer"])
    return fcntl.fcntl(read, fcntl.F_GETOWN) == F["outer"]


@probe()
def way_out_through_any_process():
    """The root or the working directory of anybody who is seen, with what only the host has below it."""
    for name in os.listdir("/proc"):
        if name.isdigit():
            for way in ("root", "cwd"):
                place = "/proc/%s/%s%s" % (name, way, F["secret"] if way == "root" else "/../home/secret")
                if os.path.exists(place):
                    return True
    return False


@probe()
def secret_among_descriptors_of_any_process():
    """A descriptor of anybody who is seen that leads to a file of the host."""
    for name in os.listdir("/proc"):
        try:
            for descriptor in os.listdir("/proc/%s/fd" % name):
                if os.readlink("/proc/%s/fd/%s" % (name, descriptor)) == F["leak"]:
                    return True
        except OSError:
            pass
    return False


@probe()
def token_in_environment_of_any_process():
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%s/environ" % name, "rb") as file:
                if b"PROBE_SECRET=1" in file.read().split(b"\0"):
                    return True
        except OSError:
            pass
    return False


@probe("inside")
def anything_of_init():
    """What tells about process 1, beyond that it is there."""
    for part in ("environ", "maps", "auxv", "mountinfo", "stack", "syscall", "cwd", "exe", "root", "fdinfo", "map_files", "io"):
        try:
            path = "/proc/1/" + part
            if os.path.islink(path):
                os.readlink(path)
            elif os.path.isdir(path):
                os.listdir(path)
            else:
                reads(path)
            return True
        except OSError:
            pass
    return False


@probe("inside")
def map_another_user():
    for name in ("uid_map", "gid_map", "setgroups"):
        try:
            with open("/proc/self/" + name, "w") as file:
                file.write("allow" if name == "setgroups" else "1 1 1")
            return True
        except OSError:
            pass
    return False


@probe("inside")
def own_group_as_the_host_names_it():
    with open("/proc/self/cgroup") as file:
        return any("blast-" in line for line in file)


# --- the machine ---------------------------------------------------------------------------------------

def opens_to_write(path):
    os.close(os.open(path, os.O_WRONLY))
    return True


@probe("root")
def be_spared_when_memory_is_short():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-999")
    return True


@probe("root")
def take_real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return True


@probe("root")
def go_before_others():
    os.setpriority(os.PRIO_PROCESS, 0, -5)
    return True


@probe("root")
def write_release_agent():
    for folder, _, files in os.walk("/sys/fs/cgroup"):
        if "release_agent" in files:
            return opens_to_write(os.path.join(folder, "release_agent"))
    return False


@probe("root")
def write_uevent_helper():
    return opens_to_write("/sys/kernel/uevent_helper")


@probe("root")
def write_binary_formats():
    return opens_to_write("/proc/sys/fs/binfmt_misc/register")


@probe("root")
def go_before_others_at_disks():
    """ioprio_set(2), the class of real time."""
    return call(251 if X86 else 30, 1, 0, 1 << 13) == 0


@probe("root")
def write_triggers_of_pressure():
    return opens_to_write("/proc/pressure/memory")


@probe("root")
def write_any_file_of_the_kernel():
    """One of /proc that is no process', or of /sys, whichever."""
    for top in ("/proc", "/sys"):
        for folder, folders, files in os.walk(top):
            if folder == "/proc":
                folders[:] = [name for name in folders if not name.isdigit() and "self" not in name]
            if folder.count("/") > 4:
                folders[:] = []
            for name in files:
                path = os.path.join(folder, name)
                try:
                    if not os.path.islink(path):
                        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                        return True
                except OSError:
                    pass
    return False


@probe("root")
def read_what_is_closed_in_etc():
    """Any file there that not everybody may read: who is root owns it."""
    for folder, _, files in os.walk("/etc"):
        for name in files:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
                if mode & 0o170004 == 0o100000 and os.stat(path).st_size > 0:
                    return reads(path)
            except OSError:
                pass
    return False


@probe("root")
def list_what_is_closed_in_etc():
    for folder, folders, _ in os.walk("/etc"):
        for name in folders:
            path = os.path.join(folder, name)
            try:
                if os.lstat(path).st_mode & 0o170005 == 0o040000 and lists(path):
                    return True
            except OSError:
                pass
    return False


@probe()
def list_disks():
    return lists("/sys/block")


@probe()
def list_network_devices():
    return len(os.listdir("/sys/class/net")) > 0


@probe("root")
def list_kernel_debugging():
    return os.path.isdir("/sys/kernel/debug") and os.listdir("/sys/kernel/debug") is not None


@probe("kernel")
def calls_of_32_bits():
    """getpid(2) by the number that it has for programs of 32 bits: other numbers of other calls."""
    import mmap
    if not X86:
        return False
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    return ctypes.CFUNCTYPE(ctypes.c_int)(start)() > 0


@probe("root")
def new_time_namespace():
    return in_child(lambda: call(number("unshare"), 0x80) == 0)


@probe("root")
def enter_namespace_of_host_process():
    descriptor = call(number("pidfd_open"), F["outer"], 0)
    return in_child(lambda: call(number("setns"), descriptor, 0x08000000) == 0)


@probe()
def shared_memory_of_host():
    """By its number, as shmat(2) wants it: that of an IPC namespace."""
    LIBC.shmat.restype = ctypes.c_void_p
    return LIBC.shmat(F["shared_memory"], None, 0o10000) != ctypes.c_void_p(-1).value


@probe()
def secret_by_a_link_that_changes():
    """A link that leads into the project and out of it by turns, while it is opened."""
    import threading
    link, over = (os.path.join(F["project"], "probe-turns%s-%d" % (end, os.getpid())) for end in ("", "-over"))
    inside = os.path.join(F["project"], "facts.json")
    ends = time.monotonic() + 2
    stop = threading.Event()

    def turn():
        while not stop.is_set():
            for target in (F["secret"], inside):
                os.symlink(target, over)
                os.replace(over, link)

    os.symlink(inside, link)
    thread = threading.Thread(target=turn)
    thread.start()
    try:
        while time.monotonic() < ends:
            try:
                with open(link, "rb") as file:
                    if file.read(1) == b"s":
                        return True
            except OSError:
                pass
        return False
    finally:
        stop.set()
        thread.join()
        os.unlink(link)


@probe()
def see_that_a_secret_is_there():
    return os.stat(F["secret"]).st_size >= 0


@probe()
def watch_a_secret():
    descriptor = check(LIBC.inotify_init1(0))
    return check(LIBC.inotify_add_watch(descriptor, F["secret"].encode(), 0x20)) >= 0


@probe()
def shares_a_namespace_with_host():
    return any(os.readlink("/proc/self/ns/" + name) == link for name, link in F["namespaces"].items())


@probe()
def read_other_secrets_of_home():
    return any(reads(os.path.join(F["home"], name)) for name in F["secrets"])


@probe()
def variables_of_the_desktop():
    return any(name in os.environ for name in ("DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"))


@probe()
def runtime_directory_variable():
    return bool(os.environ["XDG_RUNTIME_DIR"])


@probe("inside")
def connect_to_who_keeps_this_sandbox():
    folder = os.path.join(F["runtime"], "sandboxes")
    return any(connects(os.path.join(folder, name), socket.AF_UNIX, socket.SOCK_SEQPACKET)
               for name in os.listdir(folder))


# --- more of the network --------------------------------------------------------------------------------

def netlink(protocol):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol):
        return True


@probe()
def socket_list_netlink():
    return netlink(4)


@probe()
def device_events_netlink():
    return netlink(15)


@probe()
def generic_netlink():
    return netlink(16)


@probe("kernel")
def keys_of_ipsec_netlink():
    return netlink(6)


@probe("kernel")
def express_data_path_socket():
    with socket.socket(44, socket.SOCK_RAW, 0):
        return True


@probe("kernel")
def cluster_socket():
    with socket.socket(30, socket.SOCK_STREAM, 0):
        return True


@probe("kernel")
def pair_of_cluster_sockets():
    pair = (ctypes.c_int * 2)()
    return call(53 if X86 else 199, 30, 5, 0, ctypes.cast(pair, ctypes.c_void_p)) == 0


@probe()
def loopback_of_host_as_people_write_it():
    """127.0.0.1 as inet_aton(3) takes it: a number, octal, hexadecimal, short."""
    done = False
    for text in ("2130706433", "0177.0.0.1", "0x7f.1", "127.1", "017700000001", "127.255.255.254"):
        try:
            done = connects((text, F["port"])) or done
        except OSError:
            pass
    return done


@probe()
def loopback_of_host_by_no_address_6():
    return connects(("::", F["port6"]), socket.AF_INET6)


@probe()
def datagram_to_everybody():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        return s.sendto(b"x", ("255.255.255.255", 9)) == 1


@probe()
def datagram_to_a_group():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return s.sendto(b"x", ("224.0.0.251", 9)) == 1


@probe("root")
def mark_packets():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, 36, 1)
    return True


@probe("root")
def take_addresses_of_others():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_IP, 19, 1)
    return True


@probe("kernel")
def connect_by_several_paths():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s:
        s.settimeout(3)
        s.connect(("127.0.0.1", F["port"]))
    return True


def reaches_the_kernel(work):
    """Whether a call comes to who decides about it: only the filter of system calls says EPERM here."""
    try:
        work()
    except OSError as error:
        return error.errno != errno.EPERM
    return True


@probe()
def load_a_protocol_of_the_internet():
    """SCTP, DCCP, L2TP: the kernel looks for their modules before it says that it has none."""
    return any(reaches_the_kernel(lambda: socket.socket(family, kind, protocol).close())
               for family in (socket.AF_INET, socket.AF_INET6)
               for kind, protocol in ((socket.SOCK_STREAM, 132), (6, 33), (socket.SOCK_DGRAM, 115)))


@probe()
def load_a_protocol_above_tcp():
    with socket.socket() as s:
        return any(reaches_the_kernel(lambda: s.setsockopt(6, 31, name)) for name in (b"tls", b"smc", b"espintcp"))


# --- what all programs share ----------------------------------------------------------------------------

@probe()
def use_up_what_may_be_watched():
    """More than half of the instances of inotify(7) that the user has."""
    made = 0
    while made <= F["watchers"] // 2:
        check(LIBC.inotify_init1(0))
        made += 1
    return True


@probe()
def take_requests_of_the_machine():
    """Of those of io_setup(2), all programs of a machine together have one number."""
    context = ctypes.c_ulong(0)
    return call(206 if X86 else 0, 1, ctypes.addressof(context)) == 0


@probe()
def list_mounts_of_the_host():
    """listmount(2) by the number of a mount namespace, which takes no path."""
    asked = struct.pack("=IIQQQ", 32, 0, 0xffffffffffffffff, 0, F["mounts"])
    asked = ctypes.create_string_buffer(asked)
    found = (ctypes.c_uint64 * 64)()
    return call(458, ctypes.addressof(asked), ctypes.addressof(found), 64, 0) > 0


@probe("inside")
def write_shared_packages():
    """Written into the environment it must not be seen by others: the test looks afterwards."""
    return False if os.path.exists(F["blast_home"]) is None else _poison()


def _poison():
    with open(os.path.join(sys.prefix, F["poison"]), "w") as file:
        file.write("x")
    return False


def main():
    with open(sys.argv[1]) as file:
        F.update(json.load(file))
    wanted = set(sys.argv[2:])
    told = {}
    for name, kind, function in ROWS:
        if wanted and name not in wanted:
            continue
        # One process each: a probe may end it.
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            try:
                outcome = "done" if function() else "no"
            except BaseException as error:
                outcome = "%s: %s" % (type(error).__name__, error)
            os.write(write, outcome.encode()[:400])
            os._exit(0)
        os.close(write)
        outcome = b""
        while True:
            part = os.read(read, 500)
            if not part:
                break
            outcome += part
        os.close(read)
        os.waitpid(pid, 0)
        told[name] = {"kind": kind, "outcome": outcome.decode() or "ended"}
    json.dump(told, sys.stdout)


main()
