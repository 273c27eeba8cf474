//! What of a layer is compiled, and where its bytecode goes.

use blast_store::{EntryIndex, EntryKind, Layer};

use super::Flavour;

/// The modules of a layer, each with its directory; a package's `__init__` comes last in its own,
/// since whoever asks has asked for it already. Tests that packages carry are left out: they are
/// half of the work and nobody imports them.
pub(super) fn sources(layer: &Layer) -> Vec<(EntryIndex, EntryIndex)> {
    let mut found = Vec::new();
    let mut folders: Vec<_> = layer.find("lib").into_iter().collect();
    while let Some(folder) = folders.pop() {
        let mut init = None;
        for child in layer.children(folder) {
            let entry = layer.entry(child);
            match entry.kind {
                EntryKind::Dir { .. } if !matches!(entry.name, b"tests" | b"test") => {
                    folders.push(child);
                }
                EntryKind::File { .. } | EntryKind::Inline { .. }
                    if entry.name == b"__init__.py" =>
                {
                    init = Some((folder, child));
                }
                EntryKind::File { .. } | EntryKind::Inline { .. }
                    if entry.name.ends_with(b".py") =>
                {
                    found.push((folder, child));
                }
                _ => {}
            }
        }
        found.extend(init);
    }
    found
}

/// Where interpreters look for the bytecode of a source (PEP 3147): a path in the prefix.
pub(super) fn bytecode_path(layer: &Layer, source: EntryIndex, flavour: &Flavour) -> String {
    let path = layer.path(source);
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
    let stem = name.strip_suffix(".py").unwrap_or(name);
    format!("{folder}/__pycache__/{stem}.{}.pyc", flavour.cache_tag)
}
