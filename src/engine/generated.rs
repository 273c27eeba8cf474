//! The generated layer: what an environment's prefix holds beside its distributions.
//!
//! Wheel layers are shared by all environments, so nothing in them may depend on where an
//! environment is. What does, is here, in one small layer per generation that comes last and so
//! wins: `pyvenv.cfg`, the links to the interpreter, activation scripts, console scripts (their
//! first line names the environment's Python), `REQUESTED` and `direct_url.json`, and each touched
//! `RECORD`, as the wheel's own record plus the rows of what was added; and the shim of pip where no
//! pip is installed. Its size grows with the number of packages, never with their files.
//!
//! Sources: PEP 405 (`pyvenv.cfg`), PEP 376 and 627 (RECORD, REQUESTED), PEP 610
//! (`direct_url.json`), PEP 427 (`#!python` scripts), entry points specification.

use std::collections::BTreeMap;
use std::path::Path;

use blast_index::wheel::{RecordHash, RecordRow, record};
use blast_store::{EntryPoint, EnvRecord, Layer, LayerBuilder, LayerError, Package, WheelRecord};
use blast_types::{BlobId, EnvName, Interpreter, Sha256};

use super::error::EngineError;
use super::pip_shim::Module;
use crate::activation::{Activation, ActivationError, TOOLS};

/// Modification time of generated files: they have no history of their own (2020-01-01, UTC).
pub(crate) const GENERATED_MTIME: i64 = 1_577_836_800;

/// What makes a directory an environment (PEP 405).
pub(crate) const VENV_FILE: &str = "pyvenv.cfg";

/// Our executable, below the home, under the name that makes it enter a sandbox ([`crate::launcher`]).
pub(crate) const ENTER: &str = "enter";

/// Longest first line that every kernel and tool takes (`BINPRM_BUF_SIZE` was 128 before 5.1).
const LONGEST_SHEBANG: usize = 127;

/// A layer that no store has: it is made, and read from memory.
pub(crate) fn opened(builder: LayerBuilder) -> Result<Layer, EngineError> {
    let opened = builder.build().open();
    opened.map_err(|error| EngineError::Bug(format!("a layer that was made is damaged: {error}")))
}

/// What the layer is made from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spec<'a> {
    /// The environment.
    pub(crate) env: &'a EnvName,
    /// Its prefix as programs see it, `live/<env>`.
    pub(crate) prefix: &'a Path,
    /// Variables that activation sets.
    pub(crate) variables: &'a BTreeMap<String, String>,
    /// Its interpreter.
    pub(crate) interpreter: &'a Interpreter,
    /// Our own executable, for activation scripts; none for an environment that stands alone, without
    /// blast.
    pub(crate) blast: Option<&'a Path>,
    /// The modules of the shim of pip; none for an environment that has no pip unless a package
    /// brings it.
    pub(crate) pip: &'a [Module],
    /// Whether its Python is entered by way of us, who put it into a sandbox.
    enters: bool,
}

impl<'a> Spec<'a> {
    /// For this environment, shown at this prefix.
    pub(crate) fn of(record: &'a EnvRecord, prefix: &'a Path, blast: &'a Path) -> Self {
        Self {
            env: &record.name,
            prefix,
            variables: &record.variables,
            interpreter: &record.interpreter,
            blast: Some(blast),
            pip: &[],
            enters: true,
        }
    }

    /// The same with these modules as its pip.
    pub(crate) fn with_pip(self, pip: &'a [Module]) -> Self {
        Self { pip, ..self }
    }

    /// The same for who is put into a sandbox elsewhere: its Python is the interpreter itself.
    pub(crate) fn entered(self) -> Self {
        Self {
            enters: false,
            ..self
        }
    }

    /// For plain files of this environment, at a place of their own.
    pub(crate) fn standing_alone(record: &'a EnvRecord, prefix: &'a Path) -> Self {
        Self {
            env: &record.name,
            prefix,
            variables: &record.variables,
            interpreter: &record.interpreter,
            blast: None,
            pip: &[],
            enters: false,
        }
    }
}

/// A script that is written anew for this environment.
struct Script {
    content: Vec<u8>,
    mode: u32,
}

/// Builds the generated layer for these packages. `read_blob` gives the bytes of a script's body.
pub(crate) fn layer<'a>(
    spec: &Spec<'_>,
    packages: impl IntoIterator<Item = (&'a Package, &'a WheelRecord)>,
    read_blob: &dyn Fn(BlobId) -> Result<Vec<u8>, EngineError>,
) -> Result<LayerBuilder, EngineError> {
    let failed = |source| EngineError::Layer {
        what: spec.env.to_string(),
        source,
    };
    let mut builder = LayerBuilder::new();
    let activation = activation_files(spec)?;
    prefix_files(spec, &activation, &mut builder).map_err(failed)?;
    let mut scripts = BTreeMap::new();
    let mut has_pip = false;
    for (package, wheel) in packages {
        has_pip |= package.name.as_ref() == "pip";
        let mut rows = Vec::new();
        let mut add = |path: &str, content: &[u8]| {
            rows.push(RecordRow {
                path: relative(&wheel.dist_info, path),
                hash: Some(RecordHash::Sha256(Sha256::of(content))),
                size: Some(content.len() as u64),
            });
        };
        for (name, script) in script_files(spec, wheel, read_blob)? {
            let path = format!("{}/{name}", spec.interpreter.scheme.scripts);
            add(&path, &script.content);
            scripts.insert(path, script); // of two packages the later one wins, as with pip
        }
        if package.requested {
            let path = format!("{}/REQUESTED", wheel.dist_info);
            add(&path, b"");
            builder
                .inline(&path, 0o644, GENERATED_MTIME, Vec::new())
                .map_err(failed)?;
        }
        if let Some(direct) = &package.direct_url {
            let path = format!("{}/direct_url.json", wheel.dist_info);
            let content = serde_json::to_vec(direct).unwrap_or_default();
            add(&path, &content);
            builder
                .inline(&path, 0o644, GENERATED_MTIME, content)
                .map_err(failed)?;
        }
        if !rows.is_empty() {
            let path = format!("{}/RECORD", wheel.dist_info);
            let (base, size) = (wheel.record_blob, wheel.record_size);
            builder
                .extended(
                    &path,
                    0o644,
                    GENERATED_MTIME,
                    base,
                    size,
                    record::write(&rows).into_bytes(),
                )
                .map_err(failed)?;
        }
    }
    if !has_pip {
        pip_files(spec, &mut builder).map_err(failed)?;
    }
    for (path, Script { content, mode }) in scripts {
        builder
            .inline(&path, mode, GENERATED_MTIME, content)
            .map_err(failed)?;
    }
    Ok(builder)
}

/// `pyvenv.cfg`, `bin/python` and its like, activation scripts: all that an empty environment has.
fn prefix_files(
    spec: &Spec<'_>,
    activation: &[(&str, String)],
    builder: &mut LayerBuilder,
) -> Result<(), LayerError> {
    let scheme = &spec.interpreter.scheme;
    let mut file = |path: &str, content: String| {
        builder.inline(path, 0o644, GENERATED_MTIME, content.into_bytes())
    };
    file(VENV_FILE, pyvenv_cfg(spec))?;
    file(".gitignore", "*\n".to_owned())?;
    for (name, content) in activation {
        file(&format!("{}/{name}", scheme.scripts), content.clone())?;
    }
    let (major, minor) = spec.interpreter.version();
    let bin = &scheme.scripts;
    let python = format!("{bin}/python");
    if let Some(home) = home(spec).filter(|_| spec.enters) {
        let content = entering(&home.join(ENTER)).into_bytes();
        builder.inline(&python, 0o755, GENERATED_MTIME, content)?;
    } else {
        let executable = spec.interpreter.executable.to_string_lossy();
        builder.symlink(&python, &executable)?;
    }
    builder.symlink(&format!("{bin}/python{major}"), "python")?;
    builder.symlink(&format!("{bin}/python{major}.{minor}"), "python")?;
    builder.symlink("lib64", "lib")?;
    builder.dir(&scheme.purelib)?;
    builder.dir("include")
}

/// The home that a prefix `HOME/live/ENV` belongs to.
fn home<'a>(spec: &Spec<'a>) -> Option<&'a Path> {
    spec.prefix.parent()?.parent()
}

/// A program that has our executable run it: `ENTER PROGRAM ARGUMENT…`. A file, and no link to us: Python looks for its
/// base interpreter where the link leads to.
fn entering(enter: &Path) -> String {
    let enter = enter.to_string_lossy();
    let line = format!("#!{enter}\n");
    if line.len() <= LONGEST_SHEBANG && !enter.contains(char::is_whitespace) {
        return line;
    }
    let quoted = enter.replace('\'', r"'\''");
    format!("#!/bin/sh\nexec '{quoted}' \"$0\" \"$@\"\n")
}

/// The shim of pip, see [`super::pip_shim`].
fn pip_files(spec: &Spec<'_>, builder: &mut LayerBuilder) -> Result<(), LayerError> {
    let Some(blast) = spec.blast.filter(|_| !spec.pip.is_empty()) else {
        return Ok(());
    };
    let scheme = &spec.interpreter.scheme;
    for Module { path, blob, size } in spec.pip {
        let path = format!("{}/{path}", scheme.purelib);
        builder.file(&path, 0o644, GENERATED_MTIME, *blob, *size)?;
    }
    builder.symlink(".blast/blast", &blast.to_string_lossy())?;
    let entry = EntryPoint {
        name: "pip".to_owned(),
        module: "pip".to_owned(),
        attribute: "main".to_owned(),
        gui: false,
    };
    let shebang = shebang(&python(spec));
    for (name, entry) in installed_entry_points(&[entry], spec.interpreter.version()) {
        let script = console_script(&shebang, &entry);
        builder.inline(
            &format!("{TOOLS}/{name}"),
            0o755,
            GENERATED_MTIME,
            script.into_bytes(),
        )?;
    }
    Ok(())
}

/// The environment's interpreter, as its scripts name it.
fn python(spec: &Spec<'_>) -> String {
    let scripts = spec.prefix.join(&spec.interpreter.scheme.scripts);
    scripts.join("python").to_string_lossy().into_owned()
}

/// The activation scripts of the scripts folder, by file name.
pub(crate) fn activation_files(
    spec: &Spec<'_>,
) -> Result<Vec<(&'static str, String)>, ActivationError> {
    Activation {
        name: spec.env.clone(),
        prefix: spec.prefix.to_owned(),
        variables: spec.variables.clone(),
        blast: spec.blast.map(Path::to_owned),
    }
    .files()
}

/// The text of `pyvenv.cfg` (PEP 405), with the keys that `venv` and virtualenv write.
pub(crate) fn pyvenv_cfg(spec: &Spec<'_>) -> String {
    let executable = &spec.interpreter.executable;
    let home = executable.parent().unwrap_or(Path::new("/")).display();
    let ours = if spec.blast.is_some() {
        format!(
            "prompt = blast:{}\nblast = {}\n",
            spec.env,
            env!("CARGO_PKG_VERSION")
        )
    } else {
        format!("prompt = {}\n", spec.env)
    };
    format!(
        "home = {home}\nimplementation = CPython\ninclude-system-site-packages = false\n\
         version = {}\nexecutable = {}\n{ours}",
        spec.interpreter.markers.python_full_version,
        executable.display(),
    )
}

/// All scripts of one distribution that name the environment's interpreter.
fn script_files(
    spec: &Spec<'_>,
    record: &WheelRecord,
    read_blob: &dyn Fn(BlobId) -> Result<Vec<u8>, EngineError>,
) -> Result<Vec<(String, Script)>, EngineError> {
    let shebang = shebang(&python(spec));
    let entry_points = installed_entry_points(&record.scripts, spec.interpreter.version());
    let mut files: Vec<_> = entry_points
        .into_iter()
        .map(|(name, entry)| {
            (
                name,
                Script {
                    content: console_script(&shebang, &entry).into_bytes(),
                    mode: 0o755,
                },
            )
        })
        .collect();
    for script in &record.python_scripts {
        let mut content = shebang.clone().into_bytes();
        content.extend(read_blob(script.body)?);
        let mode = if script.executable { 0o755 } else { 0o644 };
        files.push((script.name.clone(), Script { content, mode }));
    }
    Ok(files)
}

/// pip names its own scripts (and `easy_install`) after the interpreter, whatever the wheel says:
/// `pip`, `pip3` and `pip3.12`.
pub(super) fn installed_entry_points(
    scripts: &[EntryPoint],
    (major, minor): (u8, u8),
) -> Vec<(String, EntryPoint)> {
    let versioned = |name: &str, base: &str| {
        name.strip_prefix(base).is_some_and(|rest| {
            !rest.is_empty()
                && rest
                    .chars()
                    .all(|c| c.is_ascii_digit() || matches!(c, '.' | '-'))
        })
    };
    let special: Vec<_> = scripts
        .iter()
        .filter(|entry| matches!(&*entry.name, "pip" | "easy_install"))
        .collect();
    let mut installed = Vec::new();
    for entry in scripts {
        if special
            .iter()
            .any(|base| versioned(&entry.name, &base.name))
        {
            continue;
        }
        installed.push((entry.name.clone(), entry.clone()));
    }
    for base in special {
        if base.name == "pip" {
            installed.push((format!("pip{major}"), base.clone()));
            installed.push((format!("pip{major}.{minor}"), base.clone()));
        } else {
            installed.push((format!("{}-{major}.{minor}", base.name), base.clone()));
        }
    }
    installed
}

/// The first line of a script, newline included. A path that is too long or holds white space
/// goes through `sh`, in a form that is a comment to Python.
fn shebang(python: &str) -> String {
    let plain = format!("#!{python}\n");
    if plain.len() <= LONGEST_SHEBANG && !python.contains(char::is_whitespace) {
        return plain;
    }
    let quoted = python
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('$', r"\$");
    format!("#!/bin/sh\n'''exec' \"{quoted}\" \"$0\" \"$@\"\n' '''\n")
}

/// What pip writes for an entry point.
fn console_script(shebang: &str, entry: &EntryPoint) -> String {
    let first = entry
        .attribute
        .split('.')
        .next()
        .unwrap_or(&entry.attribute);
    format!(
        "{shebang}import sys\nfrom {module} import {first}\nif __name__ == '__main__':\n\
         \x20   if sys.argv[0].endswith('.exe'):\n\
         \x20       sys.argv[0] = sys.argv[0][:-4]\n\
         \x20   sys.exit({call}())\n",
        module = entry.module,
        call = entry.attribute,
    )
}

/// `path` as RECORD names it: relative to the folder that holds the `.dist-info` directory. Both
/// are relative to the prefix.
pub(crate) fn relative(dist_info: &str, path: &str) -> String {
    let base: Vec<_> = dist_info.split('/').collect();
    let base = &base[..base.len().saturating_sub(1)];
    let parts: Vec<_> = path.split('/').collect();
    let shared = base.iter().zip(&parts).take_while(|(a, b)| a == b).count();
    let mut steps = vec![".."; base.len() - shared];
    steps.extend(&parts[shared..]);
    steps.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_names_scripts_relative_to_site_packages() {
        let info = "lib/python3.12/site-packages/flask-3.0.dist-info";
        assert_eq!(relative(info, "bin/flask"), "../../../bin/flask");
        assert_eq!(
            relative(info, &format!("{info}/REQUESTED")),
            "flask-3.0.dist-info/REQUESTED"
        );
    }

    #[test]
    fn long_and_spaced_interpreters_go_through_sh() {
        assert_eq!(shebang("/v/bin/python"), "#!/v/bin/python\n");
        for path in [
            "/with space/python".to_owned(),
            format!("/{}/python", "x".repeat(150)),
        ] {
            let text = shebang(&path);
            assert!(text.starts_with("#!/bin/sh\n'''exec' \"/"), "{text}");
            assert!(text.ends_with("' '''\n"), "{text}");
        }
    }

    #[test]
    fn pip_scripts_are_named_after_the_interpreter() {
        let entry = |name: &str| EntryPoint {
            name: name.into(),
            module: "pip".into(),
            attribute: "main".into(),
            gui: false,
        };
        let names: Vec<_> = installed_entry_points(
            &[entry("pip"), entry("pip3"), entry("pip3.10"), entry("pipx")],
            (3, 12),
        )
        .into_iter()
        .map(|(name, _)| name)
        .collect();
        assert_eq!(names, ["pip", "pipx", "pip3", "pip3.12"]);
    }

    #[test]
    fn attributes_below_a_class_are_called_through_it() {
        let entry = EntryPoint {
            name: "x".into(),
            module: "pkg.cli".into(),
            attribute: "App.main".into(),
            gui: false,
        };
        let text = console_script("#!/p\n", &entry);
        assert!(text.contains("from pkg.cli import App\n"), "{text}");
        assert!(text.contains("sys.exit(App.main())"), "{text}");
    }
}
