//! Where work that blocks on the disk is run.

/// A thread of its own in production; in place in simulation, where a second thread would make runs differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On the runtime's threads for blocking work.
    #[default]
    Threads,
    /// At once, on the calling task.
    Inline,
}

impl Blocking {
    /// Runs a piece of blocking work. A panic in it becomes an error.
    pub(crate) async fn run<T, F>(self, work: F) -> std::io::Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> std::io::Result<T> + Send + 'static,
    {
        match self {
            Blocking::Inline => work(),
            Blocking::Threads => tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?,
        }
    }
}
