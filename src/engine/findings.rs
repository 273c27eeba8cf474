//! What the store's checker found, in sentences.

use blast_store::{Finding, Problem};

use crate::ipc::protocol::FindingView;

/// How many of an object's paths a sentence names.
const NAMED: usize = 3;

/// One finding for a person: the object, what is wrong with it, and where it is needed.
pub(crate) fn view(finding: &Finding) -> FindingView {
    let (kind, mut message) = describe(&finding.problem);
    let paths: Vec<_> = finding.paths.iter().map(String::as_str).collect();
    let packages: Vec<_> = finding.packages.iter().map(String::as_str).collect();
    for (word, names) in [("stands for", paths), ("belongs to", packages)] {
        if names.is_empty() {
            continue;
        }
        let shown = &names[..names.len().min(NAMED)];
        let rest = match names.len() - shown.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        message = format!("{message}; it {word} {}{rest}", shown.join(", "));
    }
    FindingView {
        kind: kind.to_owned(),
        message,
        environments: finding
            .environments
            .iter()
            .map(ToString::to_string)
            .collect(),
        remedy: None,
    }
}

fn describe(problem: &Problem) -> (&'static str, String) {
    match problem {
        Problem::MissingGeneration { generation } => (
            "missing-generation",
            format!("the generation {} is lost", generation.short()),
        ),
        Problem::DamagedGeneration { generation, reason } => (
            "damaged-generation",
            format!("the generation {} is damaged: {reason}", generation.short()),
        ),
        Problem::MissingLayer { layer } => (
            "missing-layer",
            format!("the layer {} is lost", layer.short()),
        ),
        Problem::DamagedLayer { layer, reason } => (
            "damaged-layer",
            format!("the layer {} is damaged: {reason}", layer.short()),
        ),
        Problem::MissingBlob { blob } => {
            ("missing-blob", format!("the blob {} is lost", blob.short()))
        }
        Problem::WrongSize {
            blob,
            expected,
            found,
        } => (
            "wrong-size",
            format!(
                "the blob {} has {found} bytes instead of {expected}",
                blob.short()
            ),
        ),
        Problem::DamagedBlob { blob } => (
            "damaged-blob",
            format!("the blob {} does not hold what its name says", blob.short()),
        ),
        Problem::UnreadableBlob { blob, reason } => (
            "unreadable-blob",
            format!("the blob {} cannot be read: {reason}", blob.short()),
        ),
        Problem::HeadWithoutOperation { head, operation } => (
            "head-without-operation",
            format!(
                "operation {operation}, which should have led to {}, is lost",
                head.short()
            ),
        ),
        Problem::DamagedJournal { path, lines } => (
            "damaged-journal",
            format!("{} has {lines} unreadable lines", path.display()),
        ),
        Problem::StaleIndex { path, rows } => (
            "stale-index",
            format!("{} differs from the journal in {rows} rows", path.display()),
        ),
    }
}

#[cfg(test)]
mod tests {
    use blast_types::BlobId;

    use super::*;

    #[test]
    fn a_finding_names_object_paths_and_packages() {
        let finding = Finding {
            problem: Problem::DamagedBlob {
                blob: BlobId::of(b"x"),
            },
            environments: ["demo".parse().expect("valid")].into(),
            packages: ["flask==3.0".to_owned()].into(),
            paths: ["a", "b", "c", "d", "e"].map(str::to_owned).into(),
        };
        let view = view(&finding);
        assert_eq!(view.kind, "damaged-blob");
        assert!(
            view.message.contains("stands for a, b, c and 2 more"),
            "{}",
            view.message
        );
        assert!(
            view.message.ends_with("it belongs to flask==3.0"),
            "{}",
            view.message
        );
        assert_eq!(view.environments, ["demo"]);
    }
}
