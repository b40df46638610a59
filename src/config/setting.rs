//! The table of settings. A section is declared once, with `section!`; its struct, its reading, its
//! printing and its entries in the table come from that declaration, so that a setting cannot exist
//! in one form and be missing in another.

use std::sync::LazyLock;

use super::kind::{Kind, Shape};

/// One setting, in all its forms.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its section's name in the file; empty for a top-level key.
    pub section: &'static str,
    /// What the section is about.
    pub about: &'static str,
    /// Its place in the file: `websocket.ping_interval`.
    pub key: &'static str,
    /// Its environment variable: `AO_WEBSOCKET__PING_INTERVAL`.
    pub env: &'static str,
    /// Its flag, without the dashes in front: `websocket-ping-interval`.
    pub flag: String,
    /// Its default, as one would write it.
    pub default: &'static str,
    /// Stands for its value in `--help`.
    pub value_name: &'static str,
    /// Its allowed values and their unit.
    pub values: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// Its value may hold credentials.
    pub secret: bool,
    pub(super) shape: Shape,
}

impl Setting {
    /// An entry of the table. The flag follows from the variable: `AO_STORE__ROOM_EXPIRY` is
    /// `--store-room-expiry`.
    pub(super) fn new<T>(
        [section, about]: [&'static str; 2],
        key: &'static str,
        env: &'static str,
        default: &'static str,
        doc: &'static str,
        kind: &Kind<T>,
    ) -> Self {
        Self {
            section,
            about: about.trim(),
            key,
            env,
            flag: env.trim_start_matches("AO_").replace("__", "-").replace('_', "-").to_lowercase(),
            default,
            value_name: kind.name,
            values: kind.values,
            doc: doc.trim(),
            secret: kind.secret,
            shape: kind.shape,
        }
    }

    /// Its name within its section: `ping_interval`.
    pub fn name(&self) -> &'static str {
        self.key.rsplit_once('.').map_or(self.key, |(_, name)| name)
    }
}

/// Every setting, section by section, in the order in which they are documented and printed.
pub fn settings() -> &'static [Setting] {
    static ALL: LazyLock<Vec<Setting>> = LazyLock::new(|| {
        [
            vec![super::section::compat::setting()],
            super::Websocket::settings(),
            super::Admin::settings(),
            super::Api::settings(),
            super::Demo::settings(),
            super::Gotapi::settings(),
            super::Wechat::settings(),
            super::Tinode::settings(),
            super::ChatService::settings(),
            super::Metrics::settings(),
            super::Store::settings(),
            super::Retention::settings(),
            super::Auth::settings(),
            super::Jwt::settings(),
            super::Rooms::settings(),
            super::Hook::settings(),
            super::Message::settings(),
            super::Limits::settings(),
            super::Log::settings(),
            super::Otel::settings(),
            super::Shutdown::settings(),
            super::Runtime::settings(),
            super::Webhook::settings(),
        ]
        .concat()
    });
    &ALL
}

/// The setting of that key, such as `websocket.listen`.
pub fn find(key: &str) -> Option<&'static Setting> {
    settings().iter().find(|setting| setting.key == key)
}

/// Declares a section: `field: Type = "default", KIND, "AO_SECTION__FIELD";`
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident($section:literal) {
        $(
            $(#[doc = $doc:literal])+
            $field:ident: $type:ty = $default:literal, $kind:expr, $env:literal;
        )+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $(
                $(#[doc = $doc])+
                #[doc = concat!("\n\nDefault `", $default, "`, environment `", $env, "`.")]
                pub $field: $type,
            )+
        }

        impl $name {
            pub(in crate::config) fn settings() -> Vec<$crate::config::Setting> {
                let section = [$section, concat!($($about),+)];
                vec![$($crate::config::Setting::new(
                    section,
                    concat!($section, ".", stringify!($field)),
                    $env,
                    $default,
                    concat!($($doc),+),
                    &$kind,
                )),+]
            }

            /// Every field is read, so that every problem is reported, before the section is put
            /// together.
            pub(in crate::config) fn read(
                layers: &mut $crate::config::layers::Layers,
            ) -> Option<Self> {
                $(
                    let key = concat!($section, ".", stringify!($field));
                    let $field = layers.take(key, $default, &$kind);
                )+
                Some(Self { $($field: $field?),+ })
            }

            pub(in crate::config) fn values(&self) -> Vec<(&'static str, String)> {
                vec![$((concat!($section, ".", stringify!($field)), ($kind.print)(&self.$field))),+]
            }
        }
    };
}

pub(super) use section;
