//! Where a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;
use providers::address::Addresses;

/// Who called: whoever connected, or behind proxies that are trusted the last one whom none of them vouches for. What a
/// stranger writes into the header stands to the left of what a proxy adds, and is not looked at.
pub(super) fn caller(parts: &Parts, trusted: &Addresses) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    let headers = parts.headers.get_all("x-forwarded-for").into_iter();
    let forwarded: Vec<&str> =
        headers.filter_map(|header| header.to_str().ok()).flat_map(|list| list.split(',')).collect();
    let mut caller = peer.ip();
    for hop in forwarded.into_iter().rev() {
        if !trusted.contains(caller) {
            break;
        }
        caller = hop.trim().parse().ok()?;
    }
    Some(caller)
}

/// The same for counting: where a trusted proxy says what can't be read, it is the proxy's own.
pub(super) fn counted(parts: &Parts, trusted: &Addresses) -> IpAddr {
    let peer = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    caller(parts, trusted).or_else(peer).unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    #[test]
    fn only_what_trusted_proxies_say_about_the_caller_counts() {
        let trusted: Addresses = serde_json::from_str(r#"["127.0.0.1", "10.0.0.0/8"]"#).unwrap();
        let table = [
            ("192.0.2.7", "", Some("192.0.2.7")),
            ("192.0.2.7", "198.51.100.1", Some("192.0.2.7")),
            ("127.0.0.1", "", Some("127.0.0.1")),
            ("127.0.0.1", "198.51.100.1", Some("198.51.100.1")),
            ("127.0.0.1", "203.0.113.5, 198.51.100.1, 10.1.1.1", Some("198.51.100.1")),
            ("127.0.0.1", "unknown", None),
        ];
        for (peer, header, expected) in table {
            let request = Request::builder().header("x-forwarded-for", header);
            let request = if header.is_empty() { Request::builder() } else { request };
            let (mut parts, _) = request.body(axum::body::Body::empty()).unwrap().into_parts();
            parts.extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4711)));
            let expected: Option<IpAddr> = expected.map(|address| address.parse().unwrap());
            assert_eq!(caller(&parts, &trusted), expected, "{peer} {header}");
        }
    }
}
