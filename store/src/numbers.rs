//! Small persistent numbers for things whose names are long.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// Stands for a layer in node numbers. Given once, never to another layer.
    LayerNumber(u32)
}
number! {
    /// Stands for a generation that was shown in a view. Given once, never to another generation.
    TreeNumber(u32)
}
number! {
    /// The place of an operation in its environment's history: 1, 2, 3 ….
    OperationId(u64)
}
