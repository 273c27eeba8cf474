//! temporary
use super::change::{Job, Plan};
use super::error::EngineError;
use super::home::Home;
use crate::ipc::protocol::{LockRequest, Reply};
use blast_types::Reporter;
use std::path::Path;
use std::sync::Arc;
pub(crate) async fn lock(
    _h: Arc<Home>,
    _r: LockRequest,
    _p: Arc<dyn Reporter>,
) -> Result<Reply, EngineError> {
    Err(EngineError::Bug("x".into()))
}
pub(super) fn sync_lock(
    _j: &Job,
    _p: &Path,
    _t: &str,
    _e: &[String],
    _g: Option<&[String]>,
) -> Result<Plan, EngineError> {
    Err(EngineError::Bug("x".into()))
}
