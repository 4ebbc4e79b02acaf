//! Texts that are sent as they are, by their routes: compressed by build.rs, since every built
//! file carries them.

use std::ops::Range;
use std::sync::OnceLock;

// Where each is among all of them.
include!(concat!(env!("OUT_DIR"), "/places.rs"));

/// All of them, as a zlib stream.
const COMPRESSED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/texts.zlib"));

/// The text of a route.
pub(crate) fn text(route: &str) -> Option<&'static str> {
    static ALL: OnceLock<String> = OnceLock::new();

    let (_, place) = PLACES.iter().find(|(it, _)| *it == route)?;
    let all = ALL.get_or_init(|| {
        let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(COMPRESSED);
        // What was compressed when this was built, a test decompresses.
        String::from_utf8(bytes.unwrap_or_default()).unwrap_or_default()
    });
    all.get(place.clone())
}

/// Those that there are.
pub(crate) fn routes() -> impl Iterator<Item = &'static str> {
    PLACES.iter().map(|(route, _)| *route)
}

#[cfg(test)]
mod tests {
    use super::{routes, text};

    #[test]
    fn texts_are_those_of_the_files() {
        assert_eq!(text("/"), Some(include_str!("page/index.html")));
        let shared = include_str!("../../web-demo/ui/vectors.js");
        assert_eq!(text("/ui/vectors.js"), Some(shared));
        assert!(routes().all(|route| text(route).is_some_and(|it| !it.is_empty())));
        assert_eq!(text("/ui"), None);
    }
}
