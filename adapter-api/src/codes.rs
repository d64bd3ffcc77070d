//! Enums that can travel as numbers.
//!
//! Everything that crosses the plugin boundary as an alternative is a `u32`, so that a later minor version may add
//! one. Inside Rust it is an ordinary enum; [`abi`](crate::abi) converts between the two.
//!
//! A number, once given, is never changed or used again. Nor does anything in this crate that is built into adapters answer by
//! itself with a number that came after 1.0: an older program may not know it, and the adapter's author would not know why.

/// Defines an enum whose variants have stable numbers.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $code:literal, )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// Every variant that this version knows.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            /// Returns the stable number of this variant.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self {
                    $( $name::$variant => $code, )+
                }
            }

            /// Returns the variant with this number, or `None` for one that a newer version added.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code {
                    $( $code => Some($name::$variant), )+
                    _ => None,
                }
            }
        }
    };
}

/// Defines an enum whose variants have stable numbers, and stable words for where people may read them.
macro_rules! words {
    ($(#[$meta:meta])* pub enum $name:ident { $( $(#[$variant_meta:meta])* $variant:ident = $code:literal, $word:literal; )+ }) => {
        $crate::codes::codes! {
            $(#[$meta])*
            pub enum $name { $( $(#[$variant_meta])* $variant = $code, )+ }
        }

        impl $name {
            /// Returns the stable word of this variant.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $( $name::$variant => $word, )+ }
            }

            /// Returns the variant with this word, or `None` for one that a newer version added.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $( $word => Some($name::$variant), )+ _ => None }
            }
        }
    };
}

pub(crate) use {codes, words};
