//! Carrying a state of one environment over to another: the same packages and requirements with the
//! small generated layer made anew. It costs records, whatever the packages weigh, and asks nobody.

use blast_store::{EnvRecord, Generation, InterpreterRef, Staging};

use super::error::{EngineError, at};
use super::home::Home;
use super::{generated, records};

/// The generation of this environment that holds what `source`, of the environment `from`, holds.
/// Its generated layer is in `staging`. Blocks.
pub(super) fn over(
    home: &Home,
    record: &EnvRecord,
    from: &EnvRecord,
    source: &Generation,
    staging: &Staging,
) -> Result<Generation, EngineError> {
    let (own, theirs) = (&record.interpreter, &from.interpreter);
    let interpreter = InterpreterRef::from(own);
    let fits = interpreter.bytecode_tag() == source.interpreter.bytecode_tag()
        && own.scheme == theirs.scheme
        && own.markers.platform_machine == theirs.markers.platform_machine;
    if !fits {
        return Err(EngineError::OtherInterpreter {
            env: record.name.clone(),
            has: interpreter.version,
            from: from.name.clone(),
            wanted: source.interpreter.version.clone(),
        });
    }
    let prefix = home.prefix(&record.name);
    let blast = std::env::current_exe().map_err(at("/proc/self/exe"))?;
    let pip = home.caches().shims.stage(own, staging)?;
    let spec = generated::Spec::of(record, &prefix, &blast).with_pip(&pip);
    let wheels = records::of_generation(&home.store, source)?;
    let read_blob = |blob| Ok(home.store.read_blob(blob)?);
    let wheels = wheels.iter().map(|wheel| &**wheel);
    let packages = source.packages.iter().zip(wheels);
    let layer = generated::layer(&spec, packages, &read_blob)?;
    Ok(Generation {
        interpreter,
        prefix: prefix.clone(),
        generated: staging.layer(layer)?,
        ..source.clone()
    })
}

/// Whether two generations hold the same, whosever they are.
pub(super) fn same(one: &Generation, other: &Generation) -> bool {
    one.packages == other.packages
        && one.captured == other.captured
        && one.requirements == other.requirements
        && one.lock == other.lock
        && one.policy == other.policy
}
