//! What shells know of an option, and the macros that make it.

/// An option of a request, as every shell offers it.
#[derive(Clone, Copy, Debug)]
pub struct OptionRow {
    /// The field of [`super::Options`]; flags have hyphens, JavaScript camel case.
    pub name: &'static str,
    /// Another name that requests may use for it, from before it had this one.
    pub alias: Option<&'static str>,
    /// What it takes.
    pub kind: OptionKind,
    /// Under which heading people find it; empty for none.
    pub heading: &'static str,
    /// What it does, in words for `--help`.
    pub about: &'static str,
    /// What holds where a request does not give it.
    pub default: Option<&'static str>,
    /// Whether it says how a text becomes tokens, so that `tokenize` has it too.
    pub of_tokens: bool,
    /// The shells that do not offer it, and why.
    pub absent: &'static [(Surface, &'static str)],
}

impl OptionRow {
    /// Why a shell lacks it; `None` if it has it.
    pub fn absence(&self, surface: Surface) -> Option<&'static str> {
        let absent = self.absent.iter().find(|(of, _)| *of == surface);
        absent.map(|(_, why)| *why)
    }
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionKind {
    /// Nothing: it is there or not.
    Flag,
    /// True or false.
    Bool,
    /// A number of things.
    Count,
    /// A text.
    Text,
    /// Several texts; spaces around them mean nothing.
    Names,
    /// Several texts, each as it is typed.
    Texts,
    /// One of these names, each with what it means.
    Choice(&'static [(&'static str, &'static str)]),
}

/// A shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The flags of `infer`.
    Cli,
    /// `Options` of the gRPC services.
    Grpc,
    /// The arguments of MCP's tools.
    Mcp,
    /// The options of the npm package's methods.
    Npm,
}

/// The type of an option's field.
pub(super) trait Field {
    const KIND: OptionKind;

    fn is_given(&self) -> bool;
}

impl Field for bool {
    const KIND: OptionKind = OptionKind::Flag;

    fn is_given(&self) -> bool {
        *self
    }
}

/// What an optional field may hold.
pub(super) trait Value {
    const KIND: OptionKind;
}

impl Value for bool {
    const KIND: OptionKind = OptionKind::Bool;
}

impl Value for usize {
    const KIND: OptionKind = OptionKind::Count;
}

impl Value for String {
    const KIND: OptionKind = OptionKind::Text;
}

impl Value for Vec<String> {
    const KIND: OptionKind = OptionKind::Names;
}

impl<V: Value> Field for Option<V> {
    const KIND: OptionKind = V::KIND;

    fn is_given(&self) -> bool {
        self.is_some()
    }
}

/// Enums whose variants are values of an option.
macro_rules! choices {
    ($(
        #[doc = $about:literal]
        $name:ident { $(#[doc = $variant_about:literal] $variant:ident = $text:literal,)+ }
    )+) => {$(
        #[doc = $about]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[cfg_attr(feature = "schema", derive(serde::Serialize, utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $(#[doc = $variant_about] $variant,)+
        }

        impl $name {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name that requests have for it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl table::Value for $name {
            const KIND: OptionKind = OptionKind::Choice(&[$(($text, $variant_about)),+]);
        }
    )+};
}

/// The fields of `Options`, and the table of them.
macro_rules! options {
    ($($heading:literal => {$(
        $(#[doc = $about:literal])+
        $name:ident: $type:ty,
            $(or $alias:literal,)? $(as $typed:ident,)? of $stage:ident
            $(, default $default:literal)?
            $(, but ($surface:ident, $why:expr))*;
    )+})+) => {
        /// How results are computed. The default is what the model folder says.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[serde(default, deny_unknown_fields)]
        pub struct Options {
            $($(
                $(#[doc = $about])+
                $(#[serde(alias = $alias)])?
                pub $name: $type,
            )+)+
        }

        /// Every option.
        pub const OPTIONS: &[OptionRow] = &[$($(
            OptionRow {
                name: stringify!($name),
                alias: options!(@first $(Some($alias),)? None),
                kind: options!(@kind $type $(, $typed)?),
                heading: $heading,
                about: concat!($($about),+),
                default: options!(@first $(Some($default),)? None),
                of_tokens: options!(@stage $stage),
                absent: &[$((Surface::$surface, $why)),*],
            },
        )+)+];

        impl Options {
            /// The names of those that were given.
            pub fn given(&self) -> impl Iterator<Item = &'static str> {
                let given = [$($((stringify!($name), table::Field::is_given(&self.$name)),)+)+];
                given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name))
            }
        }
    };
    (@first $first:expr $(, $rest:expr)*) => { $first };
    (@kind $type:ty) => { <$type as table::Field>::KIND };
    (@kind $type:ty, typed) => { OptionKind::Texts };
    (@stage tokens) => { true };
    (@stage results) => { false };
}

pub(super) use {choices, options};
