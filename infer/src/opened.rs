//! What texts are computed with.

use encoderfile::{Error, Executor, Model, Payload};

/// A model that is opened.
pub enum Opened {
    /// And still to be loaded.
    Payload(Box<Payload>),
    /// And loaded by somebody else.
    Model(Model),
}

impl From<Payload> for Opened {
    fn from(payload: Payload) -> Self {
        Self::Payload(Box::new(payload))
    }
}

impl Opened {
    /// Of the payload, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        match self {
            Self::Payload(payload) => {
                let bytes = payload.digest();
                bytes.iter().map(|byte| format!("{byte:02x}")).collect()
            }
            Self::Model(model) => model.info().payload_digest.clone(),
        }
    }

    /// Loads it, where it is not; one that is loaded keeps the threads that it has.
    ///
    /// # Errors
    /// As of [`Model::from_payload`].
    pub fn load(self, executor: Executor) -> Result<Model, Error> {
        match self {
            Self::Payload(payload) => Model::from_payload(*payload, executor),
            Self::Model(model) => Ok(model),
        }
    }
}
