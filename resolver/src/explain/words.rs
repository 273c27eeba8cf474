//! Versions, requirements and reasons in words.

use blast_types::{MarkerTree, Requirement};

use super::Versions;
use crate::policy::Policy;
use crate::project::Project;
use crate::reason::Reason;

/// A requirement as one would type it, without its marker, which holds here. Credentials in a URL
/// are masked.
pub(super) fn requirement(requirement: &Requirement) -> String {
    Requirement {
        marker: MarkerTree::default(),
        ..requirement.clone()
    }
    .to_string()
}

/// `` `a`, `b` and `c` ``.
pub(super) fn list(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| format!("`{item}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

/// The versions at these ranks, as the subject of a sentence.
pub(super) fn versions(
    project: &Project,
    policy: &Policy,
    subject: &str,
    ranks: &[u32],
) -> Versions {
    let mut ranks = ranks.to_vec();
    ranks.sort_unstable();
    ranks.dedup();
    let version = |rank: &u32| project.version(*rank).to_string();
    let count = ranks.len();
    let words = match ranks.as_slice() {
        [] => subject.to_owned(),
        [only] => format!("{subject} {}", version(only)),
        _ if covers(project, policy, &ranks, false) => format!("every version of {subject}"),
        _ if covers(project, policy, &ranks, true) => format!("every usable version of {subject}"),
        [first, second] => format!("{subject} {} and {}", version(first), version(second)),
        [first, .., last] => {
            format!(
                "{subject} {} to {} ({count} versions)",
                version(first),
                version(last)
            )
        }
    };
    let range = match ranks.as_slice() {
        [] => String::new(),
        [only] => format!("=={}", version(only)),
        [first, .., last] => format!(">={},<={}", version(first), version(last)),
    };
    Versions {
        words,
        count,
        range,
    }
}

/// Whether the ranks are all releases of a project (or all that could be used).
fn covers(project: &Project, policy: &Policy, ranks: &[u32], only_usable: bool) -> bool {
    (0..project.len()).all(|rank| {
        ranks.binary_search(&rank).is_ok()
            || only_usable
                && project
                    .release(rank)
                    .reason(&project.name, policy)
                    .is_some()
    })
}

/// What exists of a project, as a sentence.
pub(super) fn existing(project: &Project) -> String {
    match project.len() {
        0 => "there is none at all".to_owned(),
        1 => format!("there is {}", project.version(0)),
        2 => format!(
            "there are {} and {}",
            project.version(0),
            project.version(1)
        ),
        count => {
            format!(
                "there are {count}, from {} to {}",
                project.version(0),
                project.version(count - 1)
            )
        }
    }
}

/// Reasons that differ in an example only count as one.
pub(super) fn alike(reason: Reason) -> Reason {
    match reason {
        Reason::Yanked(_) => Reason::Yanked(None),
        other => other,
    }
}
