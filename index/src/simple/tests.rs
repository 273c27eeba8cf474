use super::*;

const BASE: &str = "http://127.0.0.1:1/simple/demo/";
const HASH: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn parse(body: &str, content_type: &str) -> Result<ProjectFiles, PageError> {
    let url = Url::parse(BASE).expect("valid");
    let name = "demo".parse().expect("a name");
    parse_project(
        body.as_bytes(),
        Some(content_type),
        &url,
        "index".into(),
        &name,
    )
}

fn html(body: &str) -> ProjectFiles {
    parse(body, "text/html; charset=utf-8").expect("a page")
}

fn json(body: &str) -> ProjectFiles {
    parse(body, "application/vnd.pypi.simple.v1+json").expect("a page")
}

fn only(files: &ProjectFiles) -> &DistFile {
    assert_eq!(files.versions.len(), 1, "{files:?}");
    assert_eq!(files.versions[0].files.len(), 1, "{files:?}");
    &files.versions[0].files[0]
}

fn shown(files: &ProjectFiles) -> Vec<String> {
    let line = |version: &VersionFiles| {
        let names: Vec<_> = version.files.iter().map(|file| &*file.filename).collect();
        format!("{}: {}", version.version, names.join(" "))
    };
    files.versions.iter().map(line).collect()
}

#[test]
fn html_metadata_with_a_hash_that_cannot_be_checked_is_not_read() {
    for (value, at) in [
        ("true", MetadataAt::Beside(None)),
        ("md5=d41d8cd98f00b204e9800998ecf8427e", MetadataAt::Inside),
        ("false", MetadataAt::Inside),
    ] {
        let page = html(&format!(
            "<a href='demo-1.0-py3-none-any.whl' data-core-metadata='{value}'>demo</a>"
        ));
        assert_eq!(only(&page).metadata, at, "{value}");
    }
}

#[test]
fn html_with_everything() {
    let page = html(&format!(
        "<!DOCTYPE html><html><head><META name='pypi:project-status' content='archived'></head>
         <body><A HREF='../../files/demo-1.0-py3-none-any.whl#sha256={HASH}'
           data-requires-python='&gt;=3.8' data-yanked='bad &amp; old'
           data-upload-time='2024-01-02T03:04:05.678901Z'
           data-core-metadata='sha256={HASH}'>demo</A></body></html>"
    ));
    assert_eq!(page.status.as_deref(), Some("archived"));
    let file = only(&page);
    assert_eq!(
        &*file.url,
        "http://127.0.0.1:1/files/demo-1.0-py3-none-any.whl"
    );
    assert_eq!(file.sha256.expect("in the fragment").to_hex(), HASH);
    assert_eq!(
        file.requires_python.as_ref().expect("read").to_string(),
        ">=3.8"
    );
    assert_eq!(file.yanked, Yanked::Yes(Some("bad & old".into())));
    assert_eq!(file.upload_time_ms, Some(1_704_164_645_678));
    assert_eq!(
        file.metadata,
        MetadataAt::Beside(Some(HASH.parse().expect("a hash")))
    );
}

#[test]
fn html_of_old_and_sloppy_servers() {
    let page = html(
        "<base href='https://files.example/'><a href=demo-1.0.tar.gz data-yanked \
         data-dist-info-metadata='true' data-requires-python='what?'>x</a>",
    );
    let file = only(&page);
    assert_eq!(&*file.url, "https://files.example/demo-1.0.tar.gz");
    assert_eq!(file.yanked, Yanked::Yes(None));
    assert_eq!(file.metadata, MetadataAt::Beside(None));
    assert_eq!(
        (file.requires_python.clone(), file.upload_time_ms),
        (None, None)
    );
    assert!(html("<a>no link</a><a href=''></a> <b").versions.is_empty());
    assert!(html("").versions.is_empty());
}

#[test]
fn json_with_everything() {
    let page = json(&format!(
        r#"{{"meta": {{"api-version": "1.4"}}, "name": "demo",
            "project-status": {{"status": "deprecated", "reason": "x"}}, "files": [
            {{"filename": "demo-1.0-py3-none-any.whl", "url": "/f/demo-1.0-py3-none-any.whl",
             "hashes": {{"sha256": "{HASH}", "md5": "x"}}, "size": 12, "yanked": "why\"",
             "requires-python": ">=3.9", "upload-time": "2024-01-02T03:04:05Z",
             "core-metadata": {{"sha256": "{HASH}"}}, "dist-info-metadata": false,
             "provenance": null}}]}}"#
    ));
    assert_eq!(page.status.as_deref(), Some("deprecated"));
    let file = only(&page);
    assert_eq!(&*file.url, "http://127.0.0.1:1/f/demo-1.0-py3-none-any.whl");
    assert_eq!(file.size, Some(12));
    assert_eq!(file.yanked, Yanked::Yes(Some("why\"".into())));
    assert_eq!(file.upload_time_ms, Some(1_704_164_645_000));
    assert_eq!(
        file.metadata,
        MetadataAt::Beside(Some(HASH.parse().expect("a hash")))
    );
}

#[test]
fn json_flags() {
    let with = |field: &str| {
        let page = json(&format!(
            r#"{{"files": [{{"filename": "demo-1.tar.gz", "url": "demo-1.tar.gz", {field}}}]}}"#
        ));
        only(&page).clone()
    };
    assert_eq!(with(r#""yanked": true"#).yanked, Yanked::Yes(None));
    assert_eq!(with(r#""yanked": false"#).yanked, Yanked::No);
    assert_eq!(with(r#""yanked": """#).yanked, Yanked::Yes(None));
    assert_eq!(
        with(r#""dist-info-metadata": true"#).metadata,
        MetadataAt::Beside(None)
    );
    assert_eq!(
        with(r#""core-metadata": {}"#).metadata,
        MetadataAt::Beside(None)
    );
    // A hash that cannot be checked is none to go by.
    assert_eq!(
        with(r#""core-metadata": {"md5": "d41d8cd98f00b204e9800998ecf8427e"}"#).metadata,
        MetadataAt::Inside
    );
    assert_eq!(
        with(r#""core-metadata": false"#).metadata,
        MetadataAt::Inside
    );
    assert_eq!(with(r#""requires-python": null"#).requires_python, None);
    assert_eq!(
        with(r#""upload-time": "2024-01-02T00:00:00""#).upload_time_ms,
        Some(1_704_153_600_000)
    );
}

#[test]
fn only_wheels_and_sdists_of_the_project_count_and_versions_are_sorted() {
    let names = [
        "demo-1.10.tar.gz",
        "demo-1.9-py3-none-any.whl",
        "demo-1.9.tar.gz",
        "demo-1.9.0.zip",
        "demo-1.0-py2.7.egg",
        "demo-1.0.exe",
        "other-1.0.tar.gz",
        "other-1.0-py3-none-any.whl",
        "demo-notaversion.tar.gz",
        "demo-1.0-py3-none-any.whl.asc",
        "demo-.whl",
        ".whl",
        "",
        "Demo-2.0a1.tar.gz",
    ];
    let body = names
        .iter()
        .map(|name| format!("<a href='{name}'>{name}</a>"))
        .collect::<Vec<_>>()
        .concat();
    assert_eq!(
        shown(&html(&body)),
        [
            "1.9: demo-1.9-py3-none-any.whl demo-1.9.tar.gz demo-1.9.0.zip",
            "1.10: demo-1.10.tar.gz",
            "2.0a1: Demo-2.0a1.tar.gz",
        ]
    );
}

#[test]
fn hostile_names_and_addresses_are_left_out() {
    let page = html(
        "<a href='https://h/..%2f..%2fdemo-1.0-py3-none-any.whl'></a>\
         <a href='https://h/demo-1.0%00-py3-none-any.whl'></a>\
         <a href='file:///etc/demo-1.0-py3-none-any.whl'></a>\
         <a href='javascript:demo-1.0-py3-none-any.whl'></a>\
         <a href='https://h/demo-1.0-py3-none-a%5cny.whl'></a>",
    );
    assert_eq!(shown(&page), Vec::<String>::new());
}

#[test]
fn what_is_no_page_is_an_error() {
    let json = "application/vnd.pypi.simple.v1+json";
    assert!(matches!(parse("{", json), Err(PageError::Json(_))));
    assert!(matches!(
        parse(r#"{"meta": {"api-version": "2.0"}, "files": []}"#, json),
        Err(PageError::Version(_))
    ));
    // Of another major version, even if its form is another too.
    assert!(matches!(
        parse(
            r#"{"meta": {"api-version": "2.0"}, "files": {"a": 1}}"#,
            json
        ),
        Err(PageError::Version(_))
    ));
    assert!(matches!(
        parse(
            "<meta name='pypi:repository-version' content='2.0'>",
            "text/html"
        ),
        Err(PageError::Version(_))
    ));
    assert!(matches!(
        parse("%PDF", "application/pdf"),
        Err(PageError::ContentType(_))
    ));
}

#[test]
fn later_minor_versions_of_the_api_are_read() {
    let page = r#"{"meta": {"api-version": "1.99"}, "files": [
        {"filename": "demo-1.tar.gz", "url": "demo-1.tar.gz", "new": [1]}], "new": {}}"#;
    only(&json(page));
    only(&html(
        "<meta name='pypi:repository-version' content='1.99'><a href='demo-1.tar.gz'>x</a>",
    ));
}

#[test]
fn nothing_of_a_quarantined_project_is_offered() {
    for status in ["archived", "deprecated", "quarantined", "later-invented"] {
        let offered = usize::from(status != "quarantined");
        let page = html(&format!(
            "<meta name='pypi:project-status' content='{status}'><a href='demo-1.tar.gz'>x</a>"
        ));
        assert_eq!(
            (page.versions.len(), page.status.as_deref()),
            (offered, Some(status))
        );
        let page = json(&format!(
            r#"{{"project-status": {{"status": "{status}", "reason": "x"}}, "files": [
                {{"filename": "demo-1.tar.gz", "url": "demo-1.tar.gz", "hashes": {{}}}}]}}"#
        ));
        assert_eq!(
            (page.versions.len(), page.status.as_deref()),
            (offered, Some(status))
        );
    }
}

#[test]
fn any_bytes_are_an_answer_or_an_error() {
    let url = Url::parse(BASE).expect("valid");
    let name = "demo".parse().expect("a name");
    let seed = b"<a href='demo-1.0.tar.gz' data-yanked=\"&#x3b;\"><!-- <base href=></ >&lt;{}";
    for cut in 0..seed.len() {
        for flip in [0_u8, 0x3c, 0xff, b'"'] {
            let mut bytes = seed.to_vec();
            bytes[cut] ^= flip;
            for kind in ["text/html", "application/json"] {
                for body in [&bytes[..], &bytes[cut..], &bytes[..cut]] {
                    drop(parse_project(body, Some(kind), &url, "i".into(), &name));
                }
            }
        }
    }
}

/// Found by fuzzing.
#[test]
fn a_page_of_the_network_names_no_local_file_by_its_base() {
    let body = "<base href='file:///etc/'><a href='demo-1.0.tar.gz'></a>";
    assert!(
        parse(body, "text/html")
            .expect("a page")
            .versions
            .is_empty()
    );
}

#[test]
fn hashes_of_other_kinds_vouch_where_there_is_no_sha256() {
    let sha512 = HASH.repeat(2);
    let page = html(&format!(
        "<a href='demo-1.0.tar.gz#md5=00&sha512={sha512}&subdirectory=x'>demo</a>"
    ));
    let hash = only(&page).other_hash.clone().expect("in the fragment");
    assert_eq!(hash.to_string(), format!("sha512:{sha512}"));
    let file = |hashes: &str| {
        json(&format!(
            "{{\"meta\": {{\"api-version\": \"1.0\"}}, \"name\": \"demo\", \"files\": [
               {{\"filename\": \"demo-1.0.tar.gz\", \"url\": \"x\", \"hashes\": {hashes}}}]}}"
        ))
    };
    let page = file(&format!(
        "{{\"md5\": \"00\", \"blake2s\": \"{HASH}\", \"odd\": null}}"
    ));
    let hash = only(&page).other_hash.clone().expect("one is trusted");
    assert_eq!(hash.to_string(), format!("blake2s:{HASH}"));
    let page = file(&format!(
        "{{\"sha512\": \"{sha512}\", \"sha256\": \"{HASH}\"}}"
    ));
    assert!(only(&page).sha256.is_some() && only(&page).other_hash.is_none());
    let page = file("{\"md5\": \"00\"}");
    assert!(only(&page).sha256.is_none() && only(&page).other_hash.is_none());
}

#[test]
fn pages_name_others_of_the_same_project() {
    let (a, b) = ("https://a.example/demo/", "https://b.example/demo/");
    let expected = Elsewhere {
        tracks: vec![a.into()],
        alternates: vec![a.into(), b.into()],
    };
    let page = html(&format!(
        "<meta name='pypi:tracks' content='{a}'>
         <meta name='pypi:alternate-locations' content='{a}'>
         <meta name='pypi:alternate-locations' content='{b}'>"
    ));
    assert_eq!(page.elsewhere, expected);
    let page = json(&format!(
        "{{\"meta\": {{\"api-version\": \"1.2\", \"tracks\": [\"{a}\"]}}, \"name\": \"demo\",
           \"alternate-locations\": [\"{a}\", \"{b}\"], \"files\": []}}"
    ));
    assert_eq!(page.elsewhere, expected);
}
