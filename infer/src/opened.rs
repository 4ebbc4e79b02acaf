//! What texts are computed with.

use encoderfile::{Error, Executor, Model, Payload};

/// A model that is opened, and is loaded when it is known that there is something to compute.
pub struct Opened {
    /// Of the payload, in hexadecimal.
    digest: String,
    load: Box<dyn FnOnce(Executor) -> Result<Model, Error>>,
}

impl From<Payload> for Opened {
    fn from(payload: Payload) -> Self {
        Self {
            digest: payload
                .digest()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            load: Box::new(|executor| Model::from_payload(payload, executor)),
        }
    }
}

/// One that somebody else has loaded keeps the threads that it has.
impl From<Model> for Opened {
    fn from(model: Model) -> Self {
        Self {
            digest: model.info().payload_digest.clone(),
            load: Box::new(|_| Ok(model)),
        }
    }
}

impl Opened {
    /// With something to do when it is loaded.
    #[must_use]
    pub fn then(self, loaded: fn()) -> Self {
        Self {
            load: Box::new(move |executor| (self.load)(executor).inspect(|_| loaded())),
            digest: self.digest,
        }
    }

    /// Of the payload, in hexadecimal.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }

    /// Loads it, where it is not.
    ///
    /// # Errors
    /// As of [`Model::from_payload`].
    pub fn load(self, executor: Executor) -> Result<Model, Error> {
        (self.load)(executor)
    }
}
