//! Links the unwinder of GCC's runtime into the executable where the static one is at hand.
//!
//! Rust's library asks for `libgcc_s.so`. Loading that at each start and running its constructors,
//! which ask the processor what it is (a trap on a virtual machine), took 0.3 of the 2.9 ms in which
//! a command starts and ends. A linker script under that name, in a folder that is searched first,
//! names the archives that hold the same (ld, "Implicit Linker Scripts"). Without them nothing
//! is changed.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_LINKER");
    let native = env::var("HOST") == env::var("TARGET");
    let glibc = env::var("CARGO_CFG_TARGET_ENV").is_ok_and(|libc| libc == "gnu");
    let (Some(folder), true) = (env::var_os("OUT_DIR").map(PathBuf::from), native && glibc) else {
        return;
    };
    let (Some(unwinder), Some(runtime)) = (archive("libgcc_eh.a"), archive("libgcc.a")) else {
        return;
    };
    let script = format!("GROUP ( {} {} )\n", unwinder.display(), runtime.display());
    if fs::write(folder.join("libgcc_s.so"), script).is_ok() {
        println!("cargo::rustc-link-search=native={}", folder.display());
    }
}

/// Where the compiler that links has this archive.
fn archive(name: &str) -> Option<PathBuf> {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(linker);
    let output = command
        .arg(format!("-print-file-name={name}"))
        .output()
        .ok()?;
    let path = Path::new(str::from_utf8(&output.stdout).ok()?.trim());
    // Where it has none, the name alone is the answer. A script has no way to quote.
    let usable = path.is_absolute() && path.is_file();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
    (usable && path.to_str()?.bytes().all(plain)).then(|| path.to_owned())
}
