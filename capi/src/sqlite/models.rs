//! The models of a connection, by name.

use crate::border::Failure;
use crate::handle::{self, Handle};
use encoderfile::Model;
use std::sync::{Arc, Mutex, PoisonError};

/// Those of one connection, which are closed with it.
#[derive(Clone, Default)]
pub(super) struct Models(Arc<Loaded>);

#[derive(Default)]
struct Loaded(Mutex<Vec<Named>>);

impl Drop for Loaded {
    fn drop(&mut self) {
        let models = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for model in models {
            handle::close(model.handle);
        }
    }
}

struct Named {
    name: String,
    path: String,
    handle: Handle,
}

impl Models {
    /// Opens a file as the model of that name; the same file again is the same model.
    pub(super) fn load(&self, name: &str, path: &str) -> Result<Model, Failure> {
        if let Some(loaded) = self.find(|it| it.name == name) {
            return match loaded.path == path {
                true => handle::model(loaded.handle),
                false => Err(Failure::NameTaken {
                    name: loaded.name,
                    path: loaded.path,
                }),
            };
        }
        let model = Model::open(path)?;
        let named = Named {
            name: name.to_owned(),
            path: path.to_owned(),
            handle: handle::keep(model.clone()),
        };
        self.lock().push(named);
        Ok(model)
    }

    /// The model of that name, or the first that was loaded.
    pub(super) fn get(&self, name: Option<&str>) -> Result<Model, Failure> {
        let found = self.find(|it| name.is_none_or(|name| it.name == name));
        let found = found.ok_or_else(|| self.missing(name));
        handle::model(found?.handle)
    }

    fn find(&self, is_it: impl FnMut(&&Named) -> bool) -> Option<Named> {
        self.lock().iter().find(is_it).map(|it| Named {
            name: it.name.clone(),
            path: it.path.clone(),
            handle: it.handle,
        })
    }

    fn missing(&self, name: Option<&str>) -> Failure {
        let models = self.lock();
        match name {
            Some(name) if !models.is_empty() => Failure::NoSuchModel {
                name: name.to_owned(),
                loaded: models
                    .iter()
                    .map(|it| it.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            },
            _ => Failure::NoModel,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Named>> {
        let Loaded(models) = &*self.0;
        models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
