//! `pip download` and `pip wheel`.

mod aim;

use std::path::Path;

use super::Target;
use super::arguments::{Aim, Fetch};
use super::install::{chosen, gather};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::protocol::{self, Reply, Request};

/// Fetches what is asked for and what it needs, as wheels where that is no download, which can be aimed at others. The
/// environment stays as it is.
pub(super) fn run(args: &Fetch, aim: Option<&Aim>, target: &Target) -> Result<Exit, Error> {
    let wheels = aim.is_none();
    let verb = if wheels { "wheel" } else { "download" };
    if args.wanted.is_empty() && args.choice.group.is_empty() {
        return Err(Error::no(format!(
            "You must give at least one requirement to {verb} (see \"pip help {verb}\")"
        )));
    }
    let wanted = gather(&args.wanted, &args.choice, target)?;
    let (options, sources) = chosen(&args.choice, &wanted, target)?;
    let aimed = match aim {
        Some(aim) => aim::read(aim, args.choice.no_deps, &options, target)?,
        None => aim::Aimed::default(),
    };
    let request = protocol::Fetch {
        env: target.env.clone(),
        requirements: wanted.set,
        no_deps: args.choice.no_deps,
        options,
        sources,
        wheels,
        platform: aimed.platform,
        python: aimed.python,
        to: target.context.cwd()?.join(&args.dest),
    };
    let Reply::Fetched { files } = target.context.ask(Request::Fetch(Box::new(request)))? else {
        return Err(Error::unexpected_reply());
    };
    for file in &files {
        target.tell(format!("Saved {}", relative(&file.path, target)?))?;
    }
    if !wheels {
        let names: Vec<_> = files.iter().map(|file| file.name.to_string()).collect();
        target.tell(format!("Successfully downloaded {}", names.join(" ")))?;
    }
    Ok(Exit::Ok)
}

fn relative(path: &Path, target: &Target) -> Result<String, Error> {
    let path = path.components().collect::<std::path::PathBuf>(); // without `.` on the way
    let below = path.strip_prefix(target.context.cwd()?);
    Ok(match below {
        Ok(below) => format!("./{}", below.display()),
        Err(_) => path.display().to_string(),
    })
}
