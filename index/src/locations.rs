//! PEP 708: which pages of several indexes are of one project.
//!
//! An index may say that its page **tracks** others: it extends them, by the word of its operator.
//! A project may name **alternate locations**, which counts only where all pages that have it agree,
//! since nobody else may claim to be one. Files of pages that belong together are one offer; pages
//! that contradict each other in this are refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use blast_types::ProjectFiles;
use url::Url;

use crate::url::without_credentials;

/// A page and where it was found.
pub(crate) type Located = (Url, Arc<ProjectFiles>);

/// An address as it is compared: without credentials, and whether it ends in a slash or not.
fn normal(url: &Url) -> String {
    let mut url = without_credentials(url);
    url.set_fragment(None);
    url.set_query(None);
    url.as_str().trim_end_matches('/').to_owned()
}

fn named(urls: &[Box<str>]) -> BTreeSet<String> {
    let urls = urls.iter().filter_map(|url| Url::parse(url).ok());
    urls.map(|url| normal(&url)).collect()
}

fn tracks((_, page): &Located) -> BTreeSet<String> {
    named(&page.elsewhere.tracks)
}

/// The locations that a page states, its own among them.
fn alternates((url, page): &Located) -> BTreeSet<String> {
    let mut all = named(&page.elsewhere.alternates);
    all.insert(normal(url));
    all
}

/// Whether a page says anything of others.
fn speaks((_, page): &Located) -> bool {
    !page.elsewhere.tracks.is_empty() || !page.elsewhere.alternates.is_empty()
}

/// Whether a page names another one, which is then worth asking for.
pub(crate) fn names(page: &Located, other: &Url) -> bool {
    let other = normal(other);
    tracks(page).contains(&other) || alternates(page).contains(&other) && normal(&page.0) != other
}

/// Whether these pages are of one project by what they say themselves.
pub(crate) fn belong_together(pages: &[Located]) -> bool {
    let found: BTreeSet<String> = pages.iter().map(|(url, _)| normal(url)).collect();
    let extends = |page: &&Located| tracks(page).iter().any(|url| found.contains(url));
    let others: Vec<_> = pages.iter().filter(|page| !extends(page)).collect();
    let Some(first) = others.first() else {
        return true;
    };
    let agreed = alternates(first);
    others
        .iter()
        .all(|page| agreed.contains(&normal(&page.0)) && alternates(page) == agreed)
}

/// Whether pages that are not known to belong together were meant to: then one of them claims what
/// the others do not confirm.
pub(crate) fn contradict(pages: &[Located]) -> bool {
    pages.iter().any(speaks) && !belong_together(pages)
}

#[cfg(test)]
mod tests {
    use blast_types::Elsewhere;

    use super::*;

    fn page(at: &str, tracks: &[&str], alternates: &[&str]) -> Located {
        let boxed = |urls: &[&str]| urls.iter().map(|url| Box::from(*url)).collect();
        let files = ProjectFiles {
            name: "demo".parse().expect("valid"),
            index: at.into(),
            versions: Vec::new(),
            status: None,
            elsewhere: Elsewhere {
                tracks: boxed(tracks),
                alternates: boxed(alternates),
            },
            parts: Vec::new(),
        };
        (at.parse().expect("valid"), Arc::new(files))
    }

    const A: &str = "https://a.example/simple/demo/";
    const B: &str = "https://b.example/simple/demo/";
    const C: &str = "https://c.example/simple/demo/";

    #[test]
    fn a_page_may_track_another_without_its_word() {
        let pages = [page(A, &[B], &[]), page(B, &[], &[])];
        assert!(names(&pages[0], &pages[1].0) && !names(&pages[1], &pages[0].0));
        assert!(belong_together(&pages) && !contradict(&pages));
        let elsewhere = [page(A, &[C], &[]), page(B, &[], &[])];
        assert!(!belong_together(&elsewhere) && contradict(&elsewhere));
    }

    #[test]
    fn alternate_locations_count_where_all_agree() {
        let slash = A.trim_end_matches('/');
        let pages = [page(A, &[], &[B]), page(B, &[], &[slash, B])];
        assert!(belong_together(&pages), "their own place is implied");
        let one_sided = [page(A, &[], &[B]), page(B, &[], &[])];
        assert!(!belong_together(&one_sided) && contradict(&one_sided));
        let more = [page(A, &[], &[B]), page(B, &[], &[A, C])];
        assert!(
            contradict(&more),
            "one names a third that the other does not"
        );
        // One that extends one of them needs no place in their list.
        let [first, second] = pages;
        assert!(belong_together(&[first, second, page(C, &[A], &[])]));
    }

    #[test]
    fn who_says_nothing_contradicts_nobody() {
        let pages = [page(A, &[], &[]), page(B, &[], &[])];
        assert!(!belong_together(&pages) && !contradict(&pages));
        assert!(belong_together(&pages[..1]));
    }
}
