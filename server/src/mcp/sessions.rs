//! Sessions over HTTP, no more than a server can hold.
//!
//! Each keeps what its client said of itself and a task that waits for messages, so
//! whoever opens one more than there may be ends the one that was idle for longest.

use futures_util::Stream;
use rmcp::model::{ClientJsonRpcMessage, ServerJsonRpcMessage};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::session::{
    ServerSseMessage, SessionId, SessionManager,
};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// More clients than one model has at once; with the longest first messages, 32 MB.
const SESSIONS_MAX: usize = 1000;

/// rmcp's sessions, of which there are only so many.
pub(super) struct Sessions {
    all: LocalSessionManager,
    /// When each was last asked for something.
    used: Mutex<HashMap<SessionId, Instant>>,
    most: usize,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_most(SESSIONS_MAX)
    }
}

impl Sessions {
    fn with_most(most: usize) -> Self {
        Self {
            all: LocalSessionManager::default(),
            used: Mutex::default(),
            most,
        }
    }

    fn used(&self) -> MutexGuard<'_, HashMap<SessionId, Instant>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_use(&self, id: &SessionId) {
        self.used().insert(id.clone(), Instant::now());
    }

    /// Ends the sessions that were idle for longest, until there is room for one more.
    async fn make_room(&self) {
        let mut all = self.all.sessions.write().await;
        let mut used = self.used();
        used.retain(|id, _| all.contains_key(id));
        while all.len() >= self.most {
            let idle = all.keys().min_by_key(|id| used.get(*id).copied());
            let Some(idle) = idle.cloned() else {
                return;
            };
            // A session whose handle is gone ends by itself.
            all.remove(&idle);
            used.remove(&idle);
        }
    }
}

type Error = <LocalSessionManager as SessionManager>::Error;

impl SessionManager for Sessions {
    type Error = Error;
    type Transport = <LocalSessionManager as SessionManager>::Transport;

    async fn create_session(&self) -> Result<(SessionId, Self::Transport), Error> {
        self.make_room().await;
        let created = self.all.create_session().await?;
        self.note_use(&created.0);
        Ok(created)
    }

    async fn initialize_session(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<ServerJsonRpcMessage, Error> {
        self.all.initialize_session(id, message).await
    }

    async fn has_session(&self, id: &SessionId) -> Result<bool, Error> {
        self.all.has_session(id).await
    }

    async fn close_session(&self, id: &SessionId) -> Result<(), Error> {
        self.used().remove(id);
        self.all.close_session(id).await
    }

    async fn create_stream(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.note_use(id);
        self.all.create_stream(id, message).await
    }

    async fn accept_message(
        &self,
        id: &SessionId,
        message: ClientJsonRpcMessage,
    ) -> Result<(), Error> {
        self.note_use(id);
        self.all.accept_message(id, message).await
    }

    async fn create_standalone_stream(
        &self,
        id: &SessionId,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.note_use(id);
        self.all.create_standalone_stream(id).await
    }

    async fn resume(
        &self,
        id: &SessionId,
        last_event_id: String,
    ) -> Result<impl Stream<Item = ServerSseMessage> + Send + Sync + 'static, Error> {
        self.note_use(id);
        self.all.resume(id, last_event_id).await
    }
}

#[cfg(test)]
mod tests {
    use super::{SessionManager, Sessions};

    #[tokio::test]
    async fn one_more_ends_the_one_that_was_idle_for_longest() {
        let sessions = Sessions::with_most(3);
        let (first, _kept) = sessions.create_session().await.unwrap();
        let (second, _kept) = sessions.create_session().await.unwrap();
        let (third, _kept) = sessions.create_session().await.unwrap();
        sessions.note_use(&first);
        let mut opened = Vec::new();
        for _ in 0..2 {
            opened.push(sessions.create_session().await.unwrap());
            assert_eq!(sessions.all.sessions.read().await.len(), 3);
        }
        assert_eq!(sessions.used().len(), 3);
        for (id, is_there) in [(&first, true), (&second, false), (&third, false)] {
            assert_eq!(sessions.has_session(id).await.unwrap(), is_there);
        }
        assert!(sessions.has_session(&opened[1].0).await.unwrap());
        sessions.close_session(&first).await.unwrap();
        assert_eq!(sessions.used().len(), 2);
    }
}
