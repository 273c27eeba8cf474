//! Credentials in requirements. A requirement is kept in generations, histories and locks, so a
//! password in its URL is taken out before anything else looks at it. It serves the request that
//! it came with; later ones need the host in a netrc file or a keyring.

use blast_index::{Sources, take_logins};

use crate::ipc::protocol::{RequirementSet, ResolveOptions};

/// Moves the credentials of URLs in requirements to where only the index client sees them.
pub(super) fn separate(
    set: &mut RequirementSet,
    options: &mut ResolveOptions,
    sources: &mut Sources,
) {
    let lines = set.requirements.iter_mut().map(|line| &mut line.text);
    for text in lines
        .chain(&mut options.constraints)
        .chain(&mut options.overrides)
    {
        let (bare, logins) = take_logins(text);
        *text = bare;
        sources.logins.extend(logins);
    }
}
