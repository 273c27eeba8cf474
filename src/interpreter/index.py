# Prints the index that this interpreter's pip uses when nobody configured one, or nothing.
#
# Asks the pip that is installed, else the wheel that `ensurepip` would install it from, which
# distributions may keep elsewhere (WHEEL_PKG_DIR).
import glob
import os
import sys
import sysconfig


def ask():
    try:
        from pip._internal.models.index import PyPI
    except ImportError:
        return None
    return PyPI.simple_url


def bundled():
    folders = [os.path.join(sysconfig.get_path("stdlib"), "ensurepip", "_bundled")]
    folders.append(sysconfig.get_config_var("WHEEL_PKG_DIR") or "")
    folders += ["/usr/share/python-wheels", "/usr/share/python3-wheels"]
    for folder in folders:
        if os.path.isabs(folder):
            for wheel in sorted(glob.glob(os.path.join(folder, "pip-*.whl")), reverse=True):
                yield wheel


url = ask()
for wheel in bundled():
    if url:
        break
    # A pure wheel can be imported from as it is.
    sys.path.insert(0, wheel)
    for name in [name for name in sys.modules if name == "pip" or name.startswith("pip.")]:
        del sys.modules[name]
    url = ask()
    sys.path.remove(wheel)
sys.stdout.write(url or "")
sys.stdout.flush()
