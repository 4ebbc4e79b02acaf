//! The page for people: what is in the folders `dialects/src/page` and `web-demo/ui`, under `/page` and
//! `/ui`. Whoever has no key may read it, since the page is what asks for one.

use crate::{openapi, texts};
use http::{HeaderValue, Response, StatusCode, header};

/// Nothing but what this server sends.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Browsers ask for it all the same, though the page names another.
const FAVICON: &str = "/favicon.ico";

/// The paths of the page.
pub fn paths() -> impl Iterator<Item = &'static str> {
    files().map(|(path, _)| path).chain([FAVICON])
}

/// The files by their paths.
fn files() -> impl Iterator<Item = (&'static str, &'static str)> {
    let paths = texts::routes().filter(|route| *route != openapi::ROUTE);
    paths.filter_map(|path| Some((path, texts::text(path)?)))
}

/// The file at a path of the page; `None` for another path.
pub fn file(path: &str) -> Option<Response<&'static str>> {
    if path == FAVICON {
        let mut none = Response::new("");
        *none.status_mut() = StatusCode::NO_CONTENT;
        return Some(none);
    }
    let text = texts::text(path).filter(|_| path != openapi::ROUTE)?;
    let mut response = Response::new(text);
    let headers = [
        (header::CONTENT_TYPE, content_type(path)),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    response.headers_mut().extend(headers);
    Some(response)
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "svg")) => "image/svg+xml",
        _ => "text/html; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::files;
    use crate::texts;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// What follows `before` in a text, up to the next quotation mark.
    fn after<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before)
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
    }

    /// A browser would only find it missing, or ask for it later than it could.
    #[test]
    fn the_page_names_all_of_its_files_and_has_them() {
        let html = texts::text("/").unwrap();
        let named: BTreeSet<String> = after(html, " href=\"")
            .chain(after(html, "src=\""))
            .filter(|path| path.starts_with("page/") || path.starts_with("ui/"))
            .filter_map(|path| Some(format!("/{}", path.split('#').next()?)))
            .collect();
        let paths = files().map(|(path, _)| path.to_owned());
        let held: BTreeSet<String> = paths.filter(|path| path != "/").collect();
        assert_eq!(named, held);
    }

    #[test]
    fn modules_import_what_the_page_has() {
        for (path, text) in files().filter(|(path, _)| path.ends_with(".js")) {
            let imports = text.lines().filter(|line| line.starts_with("import "));
            for import in imports.flat_map(|line| after(line, " from \"")) {
                let mut target = PathBuf::from(path);
                target.pop();
                for part in Path::new(import).iter().filter(|part| *part != ".") {
                    if part == ".." {
                        target.pop();
                    } else {
                        target.push(part);
                    }
                }
                let is_held = files().any(|(path, _)| Path::new(path) == target);
                assert!(is_held, "{path} imports {import}");
            }
        }
    }
}
