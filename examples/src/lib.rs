//! The examples are in the files beside `src`; this library is empty.
