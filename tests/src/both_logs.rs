//! The same promise over both failure logs.

/// Makes two tests of each `async fn name(log: Arc<dyn FailureLog>)`: over the failure log in memory, whose time is
/// tokio's paused clock, and over SQLite in a directory of its own, whose time is the system's.
#[macro_export]
macro_rules! on_both_logs {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test(start_paused = true)]
            async fn $name() {
                super::$name(::std::sync::Arc::new(::ordered_consumer::MemoryFailureLog::new())).await;
            })+
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let directory = ::tempfile::tempdir().unwrap();
                let path = directory.path().join("failures.db");
                let log = ::ordered_consumer::SqliteFailureLog::open(path).await.unwrap();
                super::$name(::std::sync::Arc::new(log)).await;
            })+
        }
    };
}
