//! Choosing among the files of one version, by the rules that the search uses: for pins, which
//! need no search.

use std::sync::Arc;

use blast_types::{DistFile, PackageName, Target};

use crate::policy::{Candidate, Policy};
use crate::{Inputs, Options, Reason};

/// Knows which file of a version fits a target best.
#[derive(Debug)]
pub struct Selector {
    policy: Policy,
}

impl Selector {
    /// For this target, under these choices.
    pub fn new(target: Target, options: Options) -> Self {
        let inputs = Inputs {
            options,
            ..Inputs::new(Vec::new(), target)
        };
        Self {
            policy: Policy::new(inputs),
        }
    }

    /// The file to install: the wheel that fits best, else the source distribution.
    ///
    /// # Errors
    /// Why none of them can be used: the reason that came closest.
    pub fn best(
        &self,
        name: &PackageName,
        files: &[Arc<DistFile>],
    ) -> Result<Arc<DistFile>, Reason> {
        match self.policy.candidate(name, files, false) {
            Candidate::Usable { file, .. } => Ok(file),
            Candidate::Unusable(reason) => Err(reason),
        }
    }
}
