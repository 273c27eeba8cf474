# Runs inside an interpreter that blast looks at, and prints what it is as one JSON object.
#
# Must parse and run on Python 2.7 (enough to say its version), and tell everything on CPython 3.8
# and later. The form of "interpreter" is the serde form of `blast_types::Interpreter`. Runs with
# -S: nothing that `site` sets up may be relied on. `platform` is avoided, it starts processes.
import json
import os
import sys

PREFIX = "/prefix"


def implementation_name():
    implementation = getattr(sys, "implementation", None)
    if implementation is not None:
        return implementation.name
    return "pypy" if hasattr(sys, "pypy_version_info") else "cpython"


def format_version(info):
    text = "%d.%d.%d" % (info[0], info[1], info[2])
    if info[3] != "final":
        text += info[3][0] + str(info[4])
    return text


def full_version():
    # As `platform.python_version()` has it. A build from a working tree ends with a bare plus.
    version = sys.version.split()[0]
    return version + "local" if version.endswith("+") else version


def markers():
    host = os.uname()
    name = sys.implementation.name
    return {
        "implementation_name": name,
        "implementation_version": format_version(sys.implementation.version),
        "os_name": os.name,
        "platform_machine": host.machine,
        "platform_python_implementation": "CPython" if name == "cpython" else name,
        "platform_release": host.release,
        "platform_system": host.sysname,
        "platform_version": host.version,
        "python_full_version": full_version(),
        "python_version": "%d.%d" % sys.version_info[:2],
        "sys_platform": sys.platform,
    }


def glibc():
    try:
        name, version = os.confstr("CS_GNU_LIBC_VERSION").split()
    except (AttributeError, OSError, ValueError):
        return None
    if name != "glibc":
        return None
    # Vendors append to the minor version ("2.20-2014.11").
    major, minor = version.split("-")[0].split(".")[:2]
    return {"name": "manylinux", "major": int(major), "minor": int(minor)}


def refused_glibc(library, arch):
    # PEP 600: a module of the distribution may refuse what its glibc would be good for.
    if library["name"] != "manylinux" or library["major"] != 2:
        return []
    try:
        import _manylinux
    except ImportError:
        return []
    former = {5: "manylinux1", 12: "manylinux2010", 17: "manylinux2014"}

    def takes(minor):
        if hasattr(_manylinux, "manylinux_compatible"):
            said = _manylinux.manylinux_compatible(2, minor, arch)
            return True if said is None else bool(said)
        return bool(getattr(_manylinux, former.get(minor, "") + "_compatible", True))

    return [minor for minor in range(5, library["minor"] + 1) if not takes(minor)]


def musl():
    # musl's loader prints its version on stderr when run without arguments.
    import subprocess

    with open("/proc/self/maps") as maps:
        loaders = [line.split()[-1] for line in maps if "/ld-musl-" in line]
    if not loaders:
        return None
    output = subprocess.run([loaders[0]], stderr=subprocess.PIPE).stderr.decode("ascii", "replace")
    for line in output.splitlines():
        words = line.split()
        if len(words) == 2 and words[0] == "Version":
            major, minor = words[1].split(".")[:2]
            return {"name": "musllinux", "major": int(major), "minor": int(minor)}
    return None


def c_library():
    found = glibc() or musl()
    if found is None:
        sys.exit("cannot tell which C library this interpreter uses (glibc and musl are known)")
    return found


def machine():
    name = os.uname().machine
    if sys.maxsize > 2**32:
        return name
    # A 32-bit interpreter on a 64-bit kernel.
    return {"x86_64": "i686", "aarch64": "armv7l", "i386": "i686", "i586": "i686"}.get(name, name)


def scheme():
    import sysconfig

    # The scheme of virtual environments: distributions patch the default one (`posix_local`).
    # Before 3.11 it has no name of its own and is `posix_prefix`.
    name = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    bases = ("base", "platbase", "installed_base", "installed_platbase")
    paths = sysconfig.get_paths(name, {base: PREFIX for base in bases})

    def relative(key):
        path = paths[key]
        if path != PREFIX and not path.startswith(PREFIX + "/"):
            sys.exit("the install path %r is not below the prefix: %r" % (key, path))
        return path[len(PREFIX) + 1 :]

    return {
        "purelib": relative("purelib"),
        "platlib": relative("platlib"),
        "scripts": relative("scripts"),
        "data": relative("data"),
        # Not what sysconfig says, which is the base's: what pip uses for an environment.
        "headers": "include/site/python%d.%d" % sys.version_info[:2],
    }


def externally_managed():
    import sysconfig

    return os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))


def interpreter():
    import importlib.util
    import sysconfig

    magic = importlib.util.MAGIC_NUMBER
    library, arch = c_library(), machine()
    return {
        "executable": sys.executable,
        "markers": markers(),
        "platform": {
            "os": library,
            "arch": arch,
            "gil_disabled": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            "debug": bool(sysconfig.get_config_var("Py_DEBUG")),
            "refused_glibc": refused_glibc(library, arch),
        },
        "scheme": scheme(),
        "cache_tag": sys.implementation.cache_tag,
        "bytecode_magic": "".join("%02x" % byte for byte in bytearray(magic)),
        "externally_managed": externally_managed(),
    }


answer = {"implementation": implementation_name(), "version": format_version(sys.version_info)}
if answer["implementation"] == "cpython" and sys.version_info >= (3, 8):
    answer["interpreter"] = interpreter()
sys.stdout.write(json.dumps(answer))
sys.stdout.flush()
