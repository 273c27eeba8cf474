//! `blast image`: environments as single files.

use std::path::{Path, PathBuf};

use blast_types::EnvName;
use clap::Subcommand;

use super::change;
use super::context::Context;
use super::options::{DryRunOption, EnvOption, JsonOption};
use crate::error::Error;
use crate::exit_code::Exit;
use crate::ipc::images::{BuildImage, BuiltImage, ImageBase, ImageRequest, ImageView, LoadImage};
use crate::ipc::protocol::{Reply, Request};
use crate::ui::{table::Table, units};

/// What image files are called unless they are named.
const ENDING: &str = "blast";

/// Carry environments in single files, without index or network
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an environment to an image: its packages as they are installed, and its lock
    ///
    /// The same state gives the same bytes. Variables, bytecode and the place of the environment stay
    /// behind. Editable packages are refused, because they lead to a folder of this machine.
    Build(BuildArgs),
    /// Make an environment what an image holds, by one operation
    ///
    /// The image needs the Python version and the kind of system that it was built with. Packages that
    /// the store has are not read. Nothing of an image that is damaged or does not fit is taken over.
    Load(LoadArgs),
    /// Show what is in an image, as it says itself
    Inspect(InspectArgs),
    /// Read every byte of an image and compare its hashes
    ///
    /// The exit status is 1 if the image is damaged.
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
struct BuildArgs {
    /// The environment (default: the active one, else that of the project here)
    name: Option<EnvName>,
    /// The file to write (default: the environment's name and `.blast`); one that exists is replaced
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave out what this environment, or this image (a path, or a name with `.blast`), holds
    #[arg(long, value_name = "ENV|FILE")]
    base: Option<String>,
    /// Write this state: an operation (`12`, `@{-1}`), a snapshot or a generation (default: the
    /// present one)
    #[arg(long, value_name = "STATE")]
    generation: Option<String>,
    /// How hard to compress; files become smaller and take longer to write, not to load
    #[arg(long, value_name = "1-19", default_value_t = 3,
          value_parser = clap::value_parser!(i32).range(1..=19))]
    level: i32,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, clap::Args)]
struct LoadArgs {
    /// The image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The environment, made unless it exists (default: the one that the image names)
    #[arg(long, value_name = "NAME")]
    env: Option<EnvName>,
    /// Compile bytecode only for what programs import
    #[arg(long)]
    no_bytecode: bool,
    #[command(flatten)]
    dry_run: DryRunOption,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, clap::Args)]
struct InspectArgs {
    /// The image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print the lock that is inside (`pylock.toml`), and nothing else
    #[arg(long, conflicts_with = "json")]
    lock: bool,
    #[command(flatten)]
    json: JsonOption,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    json: JsonOption,
}

/// Runs the command.
pub(super) fn run(args: Args, context: &Context) -> Result<Exit, Error> {
    match args.command {
        Command::Build(args) => build(args, context),
        Command::Load(args) => load(&args, context),
        Command::Inspect(args) => inspect(&args, context),
        Command::Verify(args) => verify(&args, context),
    }
}

fn build(args: BuildArgs, context: &Context) -> Result<Exit, Error> {
    let env = context.env(&EnvOption { env: args.name })?;
    let to = match args.output {
        Some(path) => absolute(&path)?,
        None => absolute(Path::new(&format!("{env}.{ENDING}")))?,
    };
    let request = BuildImage {
        env,
        target: args.generation,
        to,
        base: args.base.as_deref().map(base).transpose()?,
        level: args.level,
    };
    let reply = context.ask(Request::Image(ImageRequest::Build(request)))?;
    let Reply::ImageBuilt(built) = reply else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        context.printer.json(&built)?;
    } else {
        context.printer.say(built_in_words(&built));
    }
    Ok(Exit::Ok)
}

/// What looks like a path is an image, else it is an environment.
fn base(text: &str) -> Result<ImageBase, Error> {
    let path = Path::new(text);
    let is_path = text.contains('/') || path.extension().is_some_and(|ending| ending == ENDING);
    if is_path {
        return Ok(ImageBase::Image {
            path: absolute(path)?,
        });
    }
    let name = text.parse().map_err(|error: blast_types::NameError| {
        Error::usage(error.to_string()).hint("name an image by a path: `--base ./FILE`")
    })?;
    Ok(ImageBase::Environment { name })
}

fn built_in_words(built: &BuiltImage) -> String {
    let rest = built.packages - built.packs.min(built.packages);
    let rest = if rest == 0 {
        String::new()
    } else {
        format!(", {rest} of them left to the base")
    };
    format!(
        "image {} of {} is in {}: {}{rest}, {} ({} unpacked)",
        units::short(&built.digest),
        built.environment,
        built.path.display(),
        units::count(built.packages, "package"),
        units::bytes(built.bytes),
        units::bytes(built.content_bytes),
    )
}

fn load(args: &LoadArgs, context: &Context) -> Result<Exit, Error> {
    let request = LoadImage {
        path: absolute(&args.file)?,
        env: args.env.clone(),
        search: Context::python_search(context.cwd()?),
        no_bytecode: args.no_bytecode,
        dry_run: args.dry_run.dry_run,
    };
    let reply = context.ask(Request::Image(ImageRequest::Load(request)))?;
    let Reply::Changed(changed) = reply else {
        return Err(Error::unexpected_reply());
    };
    if args.json.json {
        return context.printer.json(&changed).map(|()| Exit::Ok);
    }
    change::report(context, &changed, args.env.as_ref(), "blast revert")
}

fn inspect(args: &InspectArgs, context: &Context) -> Result<Exit, Error> {
    let path = absolute(&args.file)?;
    let image = ask(context, ImageRequest::Inspect { path })?;
    if args.lock {
        context.printer.data(&image.lock)?;
    } else if args.json.json {
        context.printer.json(&image)?;
    } else {
        context.printer.data(&render(&image))?;
    }
    Ok(Exit::Ok)
}

fn verify(args: &VerifyArgs, context: &Context) -> Result<Exit, Error> {
    let path = absolute(&args.file)?;
    let image = ask(context, ImageRequest::Verify { path })?;
    if args.json.json {
        context.printer.json(&image)?;
    } else {
        context.printer.say(format!(
            "image {} is whole: {}, {} read, {} unpacked",
            units::short(&image.digest),
            units::count(image.packages.len(), "package"),
            units::bytes(image.bytes),
            units::bytes(image.content_bytes),
        ));
    }
    Ok(Exit::Ok)
}

fn ask(context: &Context, request: ImageRequest) -> Result<Box<ImageView>, Error> {
    match context.ask(Request::Image(request))? {
        Reply::Image(image) => Ok(image),
        _ => Err(Error::unexpected_reply()),
    }
}

fn render(image: &ImageView) -> String {
    let base = match (&image.base, &image.base_digest) {
        (None, _) => String::new(),
        (Some(name), None) => format!("base         environment {name}\n"),
        (Some(name), Some(digest)) => {
            format!("base         image {} of {name}\n", units::short(digest))
        }
    };
    let requirements = if image.requirements.is_empty() {
        "none".to_owned()
    } else {
        image.requirements.join(", ")
    };
    let mut table = Table::new(&["Package", "Version", "Packed", "Unpacked", "From"]);
    for package in &image.packages {
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "in base".to_owned(), units::bytes);
        table.row([
            package.name.clone(),
            package.version.clone(),
            size(package.packed_bytes),
            size(package.content_bytes),
            package.direct_url.clone().unwrap_or_default(),
        ]);
    }
    format!(
        "image        {}\nenvironment  {}\nneeds        {}\n{base}asked for    {requirements}\n\
         size         {} ({} unpacked)\n\n{}",
        image.digest,
        image.environment,
        image.python,
        units::bytes(image.bytes),
        units::bytes(image.content_bytes),
        table.render()
    )
}

/// The path as the daemon, which is elsewhere, understands it.
fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path)
        .map_err(|error| Error::usage(format!("{} is no path", path.display())).caused_by(&error))
}
