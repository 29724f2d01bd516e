//! The words of Ferry: plain data types that every other crate speaks, with no I/O and no async.
//!
//! The flow, and where each value is defined:
//!
//! 1. A person writes a [`spec::Spec`]: what to carry.
//! 2. `ferry-builder lock` turns it into a [`lock::Lock`]: exactly which bytes, from where.
//! 3. `ferry-builder build` turns that into a bundle, whose table of contents is a [`catalog::Catalog`].
//! 4. At the other end a person writes a [`site::Site`]: what is there and what shall be. `ferry-installer plan` turns
//!    catalog, site and what it observed into a [`plan::Plan`]; `apply` notes each step in a [`journal`] and tells in a
//!    [`report::Report`] what came of it.
//! 5. Both programs tell what they do as [`event::Event`]s, and fail with errors that carry a
//!    [`failure::Class`], which alone decides retries and the exit code.
//!
//! Identifiers with rules are types of their own: [`Digest`], [`ImageReference`], [`SitePath`],
//! [`Platform`], [`Name`]. Each validates on parsing and on deserialising alike.
//!
//! What this crate does not do: read files, talk to anything, print.
#![deny(missing_docs)]

pub mod catalog;
pub mod digest;
pub mod document;
pub mod event;
pub mod failure;
pub mod host;
pub mod journal;
pub mod lock;
pub mod name;
pub mod node;
pub mod path;
pub mod plan;
pub mod platform;
pub mod reference;
pub mod report;
pub mod site;
pub mod size;
pub mod spec;
pub mod version;

pub use digest::Digest;
pub use name::Name;
pub use path::SitePath;
pub use platform::Platform;
pub use reference::ImageReference;
pub use version::FormatVersion;

/// Implements `Serialize` and `Deserialize` through `Display` and `FromStr`, so that a value is validated
/// wherever it enters.
macro_rules! serde_as_string {
    ($type:ty) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl serde::de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str(<$type>::EXPECTING)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "description": <$type>::EXPECTING})
            }
        }
    };
}
pub(crate) use serde_as_string;
