//! [`Index::refresh`]: keeping pages up to date ahead of their use, so that the cache is a mirror of
//! what matters. A page that did not change costs one conditional request.

use std::time::Duration;

use blast_types::PackageName;

use crate::error::IndexError;
use crate::index::Index;

/// What became of the page of a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refreshed {
    /// It was confirmed recently enough, or is local: nobody was asked.
    Recent,
    /// The server says that it is as it was.
    Confirmed,
    /// It is new, or another one now.
    Changed,
    /// No index has the project.
    Missing,
}

impl Index {
    /// Asks again for the page of a project, unless it was confirmed less than `older_than` ago.
    /// Which indexes are asked is decided as by [`Index::project`].
    ///
    /// # Errors
    /// As for [`Index::project`]. What was known before stays.
    pub async fn refresh(
        &self,
        name: &PackageName,
        older_than: Duration,
    ) -> Result<Refreshed, IndexError> {
        let inner = &self.0;
        if inner.fetcher.offline {
            return Ok(Refreshed::Recent);
        }
        for index in inner.asked(name) {
            let outcome = inner.refresh_page(index, name, older_than).await?;
            if outcome != Refreshed::Missing {
                return Ok(outcome);
            }
        }
        Ok(Refreshed::Missing)
    }
}
