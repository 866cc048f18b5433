//! Which URLs can be registered, and which addresses are public.

use super::policy;

/// Hosts that mean an address or this machine, in every notation; without brackets missing.
pub const LOOPBACK_HOSTS: [&str; 34] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.1.",
    "127.0.0.2",
    "127.255.255.254",
    "2130706433",
    "2130706433.",
    "0x7f000001",
    "0x7F000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "127.0x1",
    "0177.0.0.1",
    "0177.1",
    "017700000001",
    "0177.0x0.0.1",
    "00000177.0.0.01",
    "127。0。0。1",
    "127．0．0．1",
    "127｡0｡0｡1",
    "１２７.０.０.１",
    "①②⑦.⓪.⓪.①",
    "%31%32%37.0.0.1",
    "127%2e0%2e0%2e1",
    "0x7f%2E1",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[0:0:0:0:0:FFFF:7F00:0001]",
    "localhost",
    "LOCALHOST.",
    "ⓛocal\u{ad}host",
];

/// Other hosts that no webhook may lead to.
pub const FORBIDDEN_HOSTS: [&str; 84] = [
    "app.localhost",
    "app.LocalHost.",
    "ｌｏｃａｌｈｏｓｔ",
    "loc%61lhost",
    "localhost.localdomain",
    "0",
    "0x0",
    "0.0.0.0",
    "00.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.1",
    "0xa000001",
    "012.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.169.254.",
    "169.254.43518",
    "169.16689662",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "025177524776",
    "169。254。169。254",
    "169.254.169.25%34",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.168.257",
    "3232235521",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "4294967295",
    "[::]",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[0000::0001]",
    "[::127.0.0.1]",
    "[::169.254.169.254]",
    "[::a9fe:a9fe]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[::ffff:10.0.0.1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[2001:2::1]",
    "[2001:10::1]",
    "[2001:20::1]",
    "[2001:db8::1]",
    "[3fff::1]",
    "[5f00::1]",
    "[100::1]",
    "[fc00::1]",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fe80::1]",
    "[febf::1]",
    "[fec0::1]",
    "[ff02::1]",
    "8.8.8.8",
    "134744072",
    "[2001:4860:4860::8888]",
    "metadata",
    "metadata.google.internal",
    "kubernetes.default.svc.cluster.local",
    "printer.local",
    "nas.home.arpa",
    "build.corp",
];

/// URLs that are wrong beside their host.
pub const WRONG_URLS: [&str; 32] = [
    "",
    "hooks.example.com",
    "//hooks.example.com/",
    "https:",
    "https://",
    "https:///",
    "https://:443/",
    "https://./",
    "https://../",
    "https://a..example.com/",
    "https://exa mple.com/",
    " https://hooks.example.com/",
    "https://hooks.example.com/\n",
    "https://hooks.exam\tple.com/",
    "https://hooks.example.com/\u{0}",
    "https://hooks.example.com:99999/",
    "https://hooks.example.com:x/",
    "https://user@hooks.example.com/",
    "https://user:password@hooks.example.com/",
    "https://:password@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://hooks.example.com:443@169.254.169.254/",
    "https://hooks.example.com/#fragment",
    "https://hooks.example.com/#",
    "https://[::1%25eth0]/",
    "https://256.256.256.256/",
    "https://hooks.example.0x100000000/",
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://127.0.0.1/",
    "javascript:alert(1)",
];

#[test]
fn without_an_allow_list_no_notation_of_an_address_or_internal_name_is_registered() {
    let policy = policy(&[]);
    for host in LOOPBACK_HOSTS.iter().chain(&FORBIDDEN_HOSTS) {
        for scheme in ["https", "http"] {
            for rest in ["/", ":8443/hook?a=b"] {
                let url = format!("{scheme}://{host}{rest}");
                assert!(policy.check_url(&url).is_err(), "{url}");
            }
        }
    }
    for url in WRONG_URLS {
        assert!(policy.check_url(url).is_err(), "{url:?}");
    }
}

#[test]
fn public_https_endpoints_are_registered_in_one_form() {
    let table = [
        ("https://example.com", "https://example.com/"),
        (
            "HTTPS://Hooks.Example.COM:443/A?b=c",
            "https://hooks.example.com/A?b=c",
        ),
        (
            "https://hooks.example.com.:8443/",
            "https://hooks.example.com.:8443/",
        ),
        ("https://bücher.de/", "https://xn--bcher-kva.de/"),
        (
            "https://localhost.example.com/",
            "https://localhost.example.com/",
        ),
        (
            "https://internal.example.com/",
            "https://internal.example.com/",
        ),
        ("https://notlocalhost.com/", "https://notlocalhost.com/"),
        (
            "https://hooks.example.com\\@127.0.0.1/",
            "https://hooks.example.com/@127.0.0.1/",
        ),
    ];
    for networks in [&[][..], &["10.0.0.0/8"]] {
        for (url, expected) in table {
            let checked = policy(networks).check_url(url).map(String::from);
            assert_eq!(checked.as_deref(), Ok(expected));
        }
    }
}

#[test]
fn a_url_has_at_most_2048_bytes_as_written_and_as_kept() {
    let policy = policy(&[]);
    let start = "https://hooks.example.com/";
    let longest = format!("{start}{}", "a".repeat(2048 - start.len()));
    assert!(policy.check_url(&longest).is_ok());
    let reason = Err("must be at most 2048 bytes long".to_owned());
    assert_eq!(policy.check_url(&format!("{longest}a")), reason);
    let grows = format!("{start}{}", "é".repeat(1000));
    assert_eq!(policy.check_url(&grows), reason);
}

#[test]
fn a_refusal_says_what_to_do() {
    let table = [
        (
            "https://127.1/",
            "must name a host, not an IP address, unless the operator adds its network to PONTE_WEBHOOK_ALLOW_NETWORKS",
        ),
        (
            "http://localhost:3000/",
            "must not lead to this server itself, unless the operator adds its network to PONTE_WEBHOOK_ALLOW_NETWORKS (127.0.0.0/8)",
        ),
        (
            "http://hooks.example.com/",
            "must begin with https://, unless the operator adds its network to PONTE_WEBHOOK_ALLOW_NETWORKS",
        ),
        (
            "https://printer.local/",
            "must name a public host, unless the operator adds its network to PONTE_WEBHOOK_ALLOW_NETWORKS",
        ),
        ("ftp://hooks.example.com/", "must begin with https://"),
        (
            "https://user:password@hooks.example.com/",
            "must not contain a user name or password; use headers",
        ),
        (
            "https://hooks.example.com/#top",
            "must not contain a fragment (#…)",
        ),
        (
            "hooks.example.com",
            "is not a valid URL (relative URL without a base); it must look like https://example.com/path",
        ),
    ];
    for (url, reason) in table {
        assert_eq!(policy(&[]).check_url(url), Err(reason.to_owned()), "{url}");
    }
}

#[test]
fn an_allow_list_opens_its_networks_and_names_that_may_lead_there() {
    let loopback = policy(&["127.0.0.0/8"]);
    for host in LOOPBACK_HOSTS {
        for scheme in ["https", "http"] {
            let url = format!("{scheme}://{host}:3000/");
            assert!(loopback.check_url(&url).is_ok(), "{url}");
        }
    }
    let table = [
        ("10.0.0.0/8", "http://10.1.2.3/", true),
        ("10.0.0.0/8", "https://10.1.2.3/", true),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", true),
        ("::ffff:10.0.0.0/104", "http://10.1.2.3/", true),
        ("::ffff:10.0.0.0/104", "http://11.1.2.3/", false),
        ("10.0.0.0/8", "http://app:3000/", true),
        ("10.0.0.0/8", "http://printer.local/", true),
        ("10.0.0.0/8", "http://hooks.example.com/", true),
        ("10.0.0.0/8", "http://localhost/", false),
        ("10.0.0.0/8", "http://app.localhost/", false),
        ("10.0.0.0/8", "http://11.1.2.3/", false),
        ("10.0.0.0/8", "https://127.0.0.1/", false),
        ("10.0.0.0/8", "https://user@app/", false),
        ("10.0.0.0/8", "ftp://10.1.2.3/", false),
        ("::1/128", "http://localhost/", true),
        ("::1/128", "http://[::1]/", true),
        ("::1/128", "http://127.0.0.1/", false),
        ("127.0.0.1/32", "http://[::1]/", false),
        ("127.0.0.1/32", "http://app.localhost./", true),
        ("8.8.8.0/24", "http://8.8.8.8/", true),
        ("::/0", "http://127.0.0.1/", false),
        ("::/0", "http://[::ffff:127.0.0.1]/", false),
    ];
    for (network, url, expected) in table {
        let accepted = policy(&[network]).check_url(url).is_ok();
        assert_eq!(accepted, expected, "{network} {url}");
    }
}

#[test]
fn addresses_are_public_up_to_the_very_edge_of_every_special_network() {
    let table = [
        ("0.255.255.255", Err("unspecified")),
        ("1.0.0.0", Ok(())),
        ("9.255.255.255", Ok(())),
        ("10.0.0.0", Err("private")),
        ("10.255.255.255", Err("private")),
        ("11.0.0.0", Ok(())),
        ("100.63.255.255", Ok(())),
        ("100.64.0.0", Err("shared")),
        ("100.127.255.255", Err("shared")),
        ("100.128.0.0", Ok(())),
        ("126.255.255.255", Ok(())),
        ("127.0.0.0", Err("loopback")),
        ("127.255.255.255", Err("loopback")),
        ("128.0.0.0", Ok(())),
        ("168.63.129.15", Ok(())),
        ("168.63.129.16", Err("metadata")),
        ("168.63.129.17", Ok(())),
        ("169.253.255.255", Ok(())),
        ("169.254.0.0", Err("link-local")),
        ("169.254.255.255", Err("link-local")),
        ("169.255.0.0", Ok(())),
        ("172.15.255.255", Ok(())),
        ("172.16.0.0", Err("private")),
        ("172.31.255.255", Err("private")),
        ("172.32.0.0", Ok(())),
        ("192.0.0.255", Err("reserved")),
        ("192.0.1.0", Ok(())),
        ("192.0.2.255", Err("documentation")),
        ("192.0.3.0", Ok(())),
        ("192.88.99.0", Err("6to4")),
        ("192.167.255.255", Ok(())),
        ("192.168.0.0", Err("private")),
        ("192.169.0.0", Ok(())),
        ("198.17.255.255", Ok(())),
        ("198.18.0.0", Err("benchmarking")),
        ("198.19.255.255", Err("benchmarking")),
        ("198.20.0.0", Ok(())),
        ("198.51.100.255", Err("documentation")),
        ("203.0.113.0", Err("documentation")),
        ("223.255.255.255", Ok(())),
        ("224.0.0.0", Err("multicast")),
        ("240.0.0.0", Err("reserved")),
        ("255.255.255.254", Err("reserved")),
        ("255.255.255.255", Err("broadcast")),
        ("::", Err("unspecified")),
        ("::1", Err("loopback")),
        ("::2", Err("IPv4-compatible")),
        ("::8.8.8.8", Err("IPv4-compatible")),
        ("::ffff:8.8.8.8", Ok(())),
        ("::ffff:10.0.0.1", Err("private")),
        ("::ffff:0:8.8.8.8", Err("reserved")),
        ("64:ff9b::8.8.8.8", Err("NAT64")),
        ("64:ff9b:1:ffff::", Err("NAT64")),
        ("100::1", Err("discard")),
        ("1fff:ffff::", Err("reserved")),
        ("2000::", Ok(())),
        ("2001::1", Err("Teredo")),
        ("2001:2::", Err("reserved")),
        ("2001:1f:ffff::", Err("reserved")),
        ("2001:2f:ffff::", Err("reserved")),
        ("2001:1ff:ffff::", Err("reserved")),
        ("2001:200::", Ok(())),
        ("2001:db7:ffff::", Ok(())),
        ("2001:db8:ffff::", Err("documentation")),
        ("2001:db9::", Ok(())),
        ("2001:4860:4860::8888", Ok(())),
        ("2002:808:808::", Err("6to4")),
        ("2003::", Ok(())),
        ("2606:4700:4700::1111", Ok(())),
        ("3ffe:ffff::", Ok(())),
        ("3fff:fff:ffff::", Err("documentation")),
        ("4000::", Err("reserved")),
        ("5f00::1", Err("reserved")),
        ("fbff::", Err("reserved")),
        ("fc00::", Err("private")),
        ("fdff:ffff::", Err("private")),
        ("fe80::", Err("link-local")),
        ("febf:ffff::", Err("link-local")),
        ("fec0::", Err("site-local")),
        ("ff00::", Err("multicast")),
    ];
    let (closed, open) = (policy(&[]), policy(&["0.0.0.0/0", "::/0"]));
    for (address, expected) in table {
        let address = address.parse().unwrap();
        assert_eq!(closed.judge(address), expected, "{address}");
        assert_eq!(open.judge(address), Ok(()), "{address}");
        assert!(!closed.is_allowed(address), "{address}");
    }
}
