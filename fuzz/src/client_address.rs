//! Who calls, by what proxies say: `client_address`.
//!
//! The first line is the address that connected, the others are lines of the header.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use providers::address::Addresses;
use server::config::ForwardedHeader;
use server::http::client_address;

/// What a stranger writes into the header before the proxies do.
const LIE: &str = "203.0.113.66";

pub fn check(data: &[u8]) {
    let (peer, rest) = super::first_line(data);
    let peer: IpAddr = peer.parse().unwrap_or(IpAddr::from([127, 0, 0, 1]));
    let lines: Vec<&[u8]> = rest.split(|byte| *byte == b'\n').take(8).collect();
    let x_forwarded_for = HeaderName::from_static("x-forwarded-for");
    let lie = format!("for={LIE}");
    one(peer, &x_forwarded_for, ForwardedHeader::XForwardedFor, &lines, LIE);
    one(peer, &header::FORWARDED, ForwardedHeader::Forwarded, &lines, &lie);
}

fn one(peer: IpAddr, name: &HeaderName, written: ForwardedHeader, lines: &[&[u8]], lie: &str) {
    let trusted: Addresses = serde_json::from_str(r#"["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]"#).unwrap();
    let mut headers = HeaderMap::new();
    for line in lines {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(name, line);
        }
    }
    let found = client_address(peer, &headers, &trusted, written);
    if !trusted.contains(peer) {
        assert_eq!(found, Some(peer.to_canonical()), "a stranger's word was believed");
    }
    // A line before all others is what a stranger can add. It may be believed only where every hop is a trusted proxy:
    // then it is what the outermost of them was told by nobody else.
    let mut forged = HeaderMap::new();
    forged.append(name, HeaderValue::from_str(lie).unwrap());
    for line in headers.get_all(name) {
        forged.append(name, line.clone());
    }
    let after = client_address(peer, &forged, &trusted, written);
    if found.is_none_or(|found| !trusted.contains(found)) {
        assert_eq!(after, found, "a stranger changed who calls");
    }
}
