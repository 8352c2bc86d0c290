//! Who calls: the one place that looks at what proxies say.
//!
//! A header says what whoever wrote it wants. So it counts only as far as a proxy that is trusted vouches for it: each
//! adds, on the right, the address that it was called from. Read from the right, the first address that is no trusted
//! proxy's is the caller; what stands to the left of it, the caller itself may have written.
//!
//! Only one of the two headers is looked at. A proxy that writes the one lets the other pass as it came, and were both
//! believed, anybody could be anyone.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use providers::address::Addresses;

use super::state::State;
use crate::config::ForwardedHeader;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Who sent this request; `None` if a trusted proxy does not say.
pub(super) fn of(parts: &Parts, state: &State) -> Option<IpAddr> {
    let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
    client_address(peer.ip(), &parts.headers, &state.trusted_proxies, state.forwarded_header)
}

/// The same for counting: where a trusted proxy says what can't be read, it is the proxy's own.
pub(super) fn counted(parts: &Parts, state: &State) -> IpAddr {
    let peer = || parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    of(parts, state).or_else(peer).unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED))
}

/// Who stands behind a peer: the peer itself, or behind trusted proxies the last one whom none of them vouches for.
pub fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted: &Addresses,
    written: ForwardedHeader,
) -> Option<IpAddr> {
    let mut caller = peer.to_canonical();
    for hop in hops(headers, written).into_iter().rev() {
        if !trusted.contains(caller) {
            break;
        }
        caller = hop?;
    }
    Some(caller)
}

/// All hops that the header names, in its order; `None` for one that has no address.
fn hops(headers: &HeaderMap, written: ForwardedHeader) -> Vec<Option<IpAddr>> {
    let name = match written {
        ForwardedHeader::XForwardedFor => X_FORWARDED_FOR,
        ForwardedHeader::Forwarded => header::FORWARDED,
    };
    // A line that is no text has an unknown number of hops: it stands for one that has no address.
    let lines = headers.get_all(name).into_iter().map(|line| line.to_str().unwrap_or("?"));
    match written {
        ForwardedHeader::XForwardedFor => lines.flat_map(|line| line.split(',').map(node)).collect(),
        ForwardedHeader::Forwarded => {
            lines.flat_map(|line| split_unquoted(line, ',')).map(forwarded_for).collect()
        }
    }
}

/// The `for` of one element (RFC 7239, section 4).
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = split_unquoted(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value)
}

/// Parts between separators that stand outside of quotes.
fn split_unquoted(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let parts = text.split(|character| {
        let separates = character == separator && !is_quoted;
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => {}
        }
        separates
    });
    parts.collect()
}

/// An address as proxies write it: bare, with a port, in brackets, in quotes.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(peer: &str, name: &HeaderName, lines: &[&str], written: ForwardedHeader) -> Option<String> {
        let trusted: Addresses =
            serde_json::from_str(r#"["127.0.0.1", "10.0.0.0/8", "2001:db8:1::/48"]"#).unwrap();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        let caller = client_address(peer.parse().unwrap(), &headers, &trusted, written);
        caller.map(|address| address.to_string())
    }

    #[test]
    fn only_what_trusted_proxies_say_about_the_caller_counts() {
        let table: [(&str, &[&str], Option<&str>); 12] = [
            ("192.0.2.7", &[], Some("192.0.2.7")),
            ("192.0.2.7", &["198.51.100.1"], Some("192.0.2.7")),
            ("127.0.0.1", &[], Some("127.0.0.1")),
            ("::ffff:127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.5, 198.51.100.1, 10.1.1.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.5", "198.51.100.1", "10.1.1.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["10.1.1.2, 10.1.1.1"], Some("10.1.1.2")),
            ("127.0.0.1", &["198.51.100.1:4711"], Some("198.51.100.1")),
            ("127.0.0.1", &["2001:db8::7, [2001:db8:1::2]:443"], Some("2001:db8::7")),
            ("127.0.0.1", &["unknown"], None),
            ("127.0.0.1", &["198.51.100.1, "], None),
        ];
        for (peer, lines, expected) in table {
            let found = caller(peer, &X_FORWARDED_FOR, lines, ForwardedHeader::XForwardedFor);
            assert_eq!(found.as_deref(), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn the_standard_header_is_read_with_its_quotes() {
        let table = [
            ("for=198.51.100.1;proto=https;by=10.0.0.1", Some("198.51.100.1")),
            ("For=\"198.51.100.1:80\"", Some("198.51.100.1")),
            ("for=203.0.113.5, proto=https; for=\"[2001:db8:cafe::17]:4711\"", Some("2001:db8:cafe::17")),
            ("for=198.51.100.1, by=\"a, for=203.0.113.5\";for=10.0.0.9", Some("198.51.100.1")),
            (r#"by="\", for=203.0.113.5";for=198.51.100.1"#, Some("198.51.100.1")),
            ("for=_hidden", None),
            ("proto=https", None),
        ];
        for (line, expected) in table {
            let found = caller("127.0.0.1", &header::FORWARDED, &[line], ForwardedHeader::Forwarded);
            assert_eq!(found.as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn the_header_that_the_proxy_does_not_write_is_not_looked_at() {
        let said = caller("127.0.0.1", &X_FORWARDED_FOR, &["203.0.113.5"], ForwardedHeader::Forwarded);
        assert_eq!(said.as_deref(), Some("127.0.0.1"));
        let said =
            caller("127.0.0.1", &header::FORWARDED, &["for=203.0.113.5"], ForwardedHeader::XForwardedFor);
        assert_eq!(said.as_deref(), Some("127.0.0.1"));
    }
}
