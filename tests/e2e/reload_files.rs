//! Reload and files: whatever is written, moved or broken, what is live is whole, what
//! is refused is named, and a neighbour on the same gateway notices nothing.
//!
//! A case is a deed done to a folder that held a good configuration; each is a test of
//! its name, and all of them together are a table for `tollgate check`.

/// Tests that do a deed each and claim that it is refused as its golden file says.
macro_rules! refused {
    ($($name:ident from $start:ident by $deed:expr;)*) => {
        /// All of this file.
        pub(super) const CASES: &[super::case::Case] = &[
            $(super::case::Case { name: stringify!($name), start: super::folder::Start::$start, deed: $deed }),*
        ];
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::case::is_refused_and_named(CASES, stringify!($name)).await;
            }
        )*
    };
}

mod case;
mod configs;
mod folder;
mod ground;
mod load;
mod plugins;
mod process;
mod refusals;
mod writes;
