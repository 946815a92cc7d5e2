//! What the failure logs in SQL share: how values are kept in columns, and what a batch loads and writes.

pub(crate) mod change;
pub(crate) mod columns;
pub(crate) mod kept;
