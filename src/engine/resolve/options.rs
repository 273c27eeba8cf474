//! The options of a request in the resolver's words.

use std::collections::BTreeMap;

use blast_resolver::{Inputs, NameFilter, Options};
use blast_types::{Reporter, Requirement, Target};

use crate::engine::error::EngineError;
use crate::engine::requirements::{package_name, parse};
use crate::ipc::protocol::ResolveOptions;

/// What to resolve, under the user's options.
pub(in crate::engine) fn with_options(
    requirements: Vec<Requirement>,
    target: Target,
    options: &ResolveOptions,
    reporter: &dyn Reporter,
) -> Result<Inputs, EngineError> {
    for requirement in &requirements {
        if options.excludes.contains(&requirement.name) {
            reporter.warn(format!(
                "`{requirement}` is asked for and excluded: it is left out"
            ));
        }
    }
    Ok(Inputs {
        constraints: parsed(&options.constraints, "a constraint")?,
        overrides: parsed(&options.overrides, "an override")?,
        excludes: options.excludes.clone(),
        options: resolver_options(options)?,
        ..Inputs::new(requirements, target)
    })
}

/// Requirements of a request; `what` they are, for messages.
pub(in crate::engine) fn parsed(
    texts: &[String],
    what: &str,
) -> Result<Vec<Requirement>, EngineError> {
    let requirements = texts.iter().map(|text| parse(text, Some(what)));
    requirements.collect()
}

/// The user's options in the resolver's terms.
pub(in crate::engine) fn resolver_options(
    options: &ResolveOptions,
) -> Result<Options, EngineError> {
    Ok(Options {
        prereleases: options.prereleases,
        resolution: options.resolution,
        exclude_newer: options.exclude_newer,
        exclude_newer_package: options.exclude_newer_package.clone(),
        no_binary: name_filter(&options.no_binary)?,
        only_binary: name_filter(&options.only_binary)?,
        no_deps: false,
        stated_hashes: BTreeMap::new(),
    })
}

/// Names as pip reads them: `:all:` is every package, `:none:` forgets what stands before it.
fn name_filter(names: &[String]) -> Result<NameFilter, EngineError> {
    let mut filter = NameFilter::None;
    for name in names {
        match name.as_str() {
            ":all:" => filter = NameFilter::All,
            ":none:" => filter = NameFilter::None,
            name => filter.insert(package_name(name)?),
        }
    }
    Ok(filter)
}
