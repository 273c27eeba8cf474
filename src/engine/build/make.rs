//! Making metadata and wheels by a backend's hooks.

use super::find::Found;
use super::{Builder, DEEPEST, blocking};
use std::sync::Arc;

use blast_index::wheel::WheelArchive;
use blast_types::{CoreMetadata, Event, filename, pep508};

use super::cache::Built;
use super::source::Source;

use super::environment::BuildEnvironment;
use super::error::{BuildError, Failed};
use super::hooks::Workshop;
use crate::engine::error::EngineError;
use crate::engine::home::lock;

impl Builder {
    pub(super) async fn find_metadata(&self, source: &Source) -> Result<CoreMetadata, Failed> {
        let found = self.find(source).await?;
        let _flight = self.board(&found.key).await;
        if let Some(known) = self.shared.cache.metadata(&found.key) {
            return Ok(known);
        }
        let shop = self.workshop(source, &found).await?;
        let metadata = match shop.tree.metadata().map_err(BuildError::from)? {
            Some(metadata) => metadata,
            None => self.ask_backend(source, &found, &shop).await?,
        };
        source.check(&metadata.name, &metadata.version)?;
        self.shared.cache.put_metadata(&found.key, &metadata)?;
        shop.close();
        Ok(metadata)
    }

    /// Metadata by `prepare_metadata_for_build_wheel`, else by building.
    pub(super) async fn ask_backend(
        &self,
        source: &Source,
        found: &Found,
        shop: &Workshop,
    ) -> Result<CoreMetadata, Failed> {
        self.building(source);
        let environment = self.environment(source, shop).await?;
        let output = shop.output("metadata")?;
        let [_, hook, _] = source.hooks();
        let Some(folder) = shop.make(&environment, hook, &output, None).await? else {
            let built = self.build(source, found, shop, &environment).await?;
            let archive =
                WheelArchive::open(&built.path, &built.filename).map_err(EngineError::from)?;
            return Ok(archive.metadata().clone());
        };
        let path = folder.join("METADATA");
        let bytes = std::fs::read(&path).map_err(BuildError::io("read", &path))?;
        let metadata =
            blast_index::metadata::parse(&bytes).map_err(|error| BuildError::Answer {
                hook,
                reason: error.to_string(),
            })?;
        self.keep_prepared(source, folder).await?;
        Ok(metadata)
    }

    pub(super) async fn find_wheel(&self, source: &Source) -> Result<Built, Failed> {
        let found = self.find(source).await?;
        let _flight = self.board(&found.key).await;
        let cached = {
            let (cache, key) = (self.shared.cache.clone(), found.key.clone());
            blocking(move || Ok(cache.built(&key))).await?
        };
        let changes = matches!(
            source,
            Source::Directory {
                editable: false,
                ..
            }
        );
        if let Some(built) = cached
            && (!changes || lock(&self.shared.fresh).contains(&found.key))
        {
            return Ok(built);
        }
        self.building(source);
        let shop = self.workshop(source, &found).await?;
        let environment = self.environment(source, &shop).await?;
        let built = self.build(source, &found, &shop, &environment).await?;
        shop.close();
        Ok(built)
    }

    /// Runs `build_wheel` and keeps what comes of it.
    pub(super) async fn build(
        &self,
        source: &Source,
        found: &Found,
        shop: &Workshop,
        environment: &BuildEnvironment,
    ) -> Result<Built, Failed> {
        let [_, _, hook] = source.hooks();
        let output = shop.output("wheel")?;
        let prepared = self.take_prepared(&found.key, shop)?;
        let wheel = shop
            .make(environment, hook, &output, prepared.as_deref())
            .await?;
        let nonsense = |reason: String| BuildError::Answer { hook, reason };
        let wheel = wheel.ok_or_else(|| BuildError::NoHook {
            backend: shop.system.backend.clone(),
            hook,
        })?;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        let filename = filename::wheel(&name)
            .map_err(|error| nonsense(format!("{name} is no name of a wheel: {error}")))?;
        source.check(&filename.name, &filename.version)?;
        let target = self
            .shared
            .interpreter
            .target()
            .map_err(EngineError::from)?;
        if target.fit(&filename).is_none() {
            let wheel = name.into_owned();
            return Err(BuildError::OtherPlatform { wheel }.into());
        }
        // Refused now and not when it is installed, so that it is not kept either.
        WheelArchive::open(&wheel, &filename).map_err(EngineError::from)?;
        Ok(self
            .shared
            .cache
            .put(&found.key, &wheel, filename, &environment.holds)?)
    }

    /// The environment that the backend runs in, with all that it asks for.
    pub(super) async fn environment(
        &self,
        source: &Source,
        shop: &Workshop,
    ) -> Result<BuildEnvironment, Failed> {
        if let Some((env, holds)) = self.shared.within.clone() {
            let shared = Arc::clone(&self.shared);
            let shown = tokio::task::spawn_blocking(move || {
                let (home, reporter) = (&shared.home, &*shared.reporter);
                BuildEnvironment::of_user(home, &env, &shared.interpreter, &holds, reporter)
            });
            return Ok(shown.await.map_err(EngineError::from)??);
        }
        let nested = self.serving(source)?;
        let cannot = |source: EngineError| BuildError::Requirements {
            source: Box::new(source),
        };
        let mut requires = shop.system.requires.clone();
        let first = BuildEnvironment::prepare(&nested, requires.clone());
        let first = first.await.map_err(cannot)?;
        let [hook, _, _] = source.hooks();
        let more = shop.requires(&first, hook).await?;
        if more.is_empty() {
            return Ok(first);
        }
        for text in more {
            let requirement = pep508::requirement(&text).map_err(|error| {
                let error = error.to_string();
                let reason = error.lines().next().unwrap_or_default();
                BuildError::Answer {
                    hook,
                    reason: format!("`{}` is no requirement: {reason}", text.escape_debug()),
                }
            })?;
            requires.push(requirement);
        }
        let whole = BuildEnvironment::prepare(&nested, requires);
        Ok(whole.await.map_err(cannot)?)
    }

    /// A builder for what the build of these sources needs.
    pub(super) fn serving(&self, source: &Source) -> Result<Self, BuildError> {
        let label = source.label();
        let mut chain = self.chain.clone();
        let known = chain.iter().position(|served| *served == label);
        chain.push(label);
        if let Some(from) = known {
            chain.drain(..from);
            return Err(BuildError::Cycle { chain });
        }
        if chain.len() > DEEPEST {
            return Err(BuildError::Cycle { chain });
        }
        Ok(Self {
            shared: Arc::clone(&self.shared),
            chain,
        })
    }

    pub(super) fn building(&self, source: &Source) {
        self.shared.reporter.report(Event::Building {
            package: source.label(),
        });
    }
}
