//! The page for people. Its files are all there is under `/page` and `/ui`; whoever has
//! no key may read them, since the page is what asks for one.

use http::{HeaderValue, Response, StatusCode, header};

/// Nothing but what this server sends.
const POLICY: &str = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Browsers ask for it all the same, though the page names another.
const FAVICON: &str = "/favicon.ico";

/// The files by their routes. `page` is this page's own, `ui` what it shares with the demo.
const FILES: [(&str, &str); 22] = [
    ("/", include_str!("page/index.html")),
    ("/page/forms.js", include_str!("page/forms.js")),
    ("/page/main.js", include_str!("page/main.js")),
    ("/page/page.css", include_str!("page/page.css")),
    ("/page/results.js", include_str!("page/results.js")),
    ("/page/run.js", include_str!("page/run.js")),
    ("/page/server.js", include_str!("page/server.js")),
    ("/page/snippets.js", include_str!("page/snippets.js")),
    ("/page/tabs.js", include_str!("page/tabs.js")),
    ("/page/tools.js", include_str!("page/tools.js")),
    ("/ui/bars.js", include_str!("../../web-demo/ui/bars.js")),
    ("/ui/base.css", include_str!("../../web-demo/ui/base.css")),
    (
        "/ui/clipboard.js",
        include_str!("../../web-demo/ui/clipboard.js"),
    ),
    (
        "/ui/contents.js",
        include_str!("../../web-demo/ui/contents.js"),
    ),
    ("/ui/dom.js", include_str!("../../web-demo/ui/dom.js")),
    ("/ui/format.js", include_str!("../../web-demo/ui/format.js")),
    ("/ui/icon.svg", include_str!("../../web-demo/ui/icon.svg")),
    ("/ui/mark.svg", include_str!("../../web-demo/ui/mark.svg")),
    (
        "/ui/results.css",
        include_str!("../../web-demo/ui/results.css"),
    ),
    ("/ui/spans.js", include_str!("../../web-demo/ui/spans.js")),
    ("/ui/table.js", include_str!("../../web-demo/ui/table.js")),
    (
        "/ui/vectors.js",
        include_str!("../../web-demo/ui/vectors.js"),
    ),
];

/// The paths of the page.
pub fn paths() -> impl Iterator<Item = &'static str> {
    FILES.iter().map(|(path, _)| *path).chain([FAVICON])
}

/// The file at a path of the page; `None` for another path.
pub fn file(path: &str) -> Option<Response<&'static str>> {
    if path == FAVICON {
        let mut none = Response::new("");
        *none.status_mut() = StatusCode::NO_CONTENT;
        return Some(none);
    }
    let (path, text) = FILES.iter().find(|(it, _)| *it == path)?;
    let mut response = Response::new(*text);
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
    use super::FILES;
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
        let (_, html) = FILES[0];
        let named: BTreeSet<String> = after(html, " href=\"")
            .chain(after(html, "src=\""))
            .filter(|path| path.starts_with("page/") || path.starts_with("ui/"))
            .filter_map(|path| Some(format!("/{}", path.split('#').next()?)))
            .collect();
        let held: BTreeSet<String> = FILES[1..]
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect();
        assert_eq!(named, held);
    }

    #[test]
    fn modules_import_what_the_page_has() {
        for (path, text) in FILES.iter().filter(|(path, _)| path.ends_with(".js")) {
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
                let is_held = FILES.iter().any(|(path, _)| Path::new(path) == target);
                assert!(is_held, "{path} imports {import}");
            }
        }
    }
}
