//! Lists of network addresses: who may call, and whose word about a caller counts.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// Addresses and ranges of addresses, such as `196.201.214.0/24` or `2001:db8::1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(Vec<IpNet>);

impl Addresses {
    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is listed, also where it is an IPv4 address in the form of IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(deserializer)?;
        let ranges = words.iter().map(|word| range(word.trim()).ok_or_else(mistake));
        ranges.collect::<Result<_, _>>().map(Self).map_err(D::Error::custom)
    }
}

fn mistake() -> &'static str {
    "expected addresses such as 196.201.214.200, or ranges such as 196.201.214.0/24"
}

fn range(word: &str) -> Option<IpNet> {
    word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Result<Addresses, String> {
        serde_json::from_str(list).map_err(|problem| problem.to_string())
    }

    #[test]
    fn addresses_and_ranges_of_both_families_are_told_apart() {
        let list = addresses(r#"["196.201.214.0/24", " 10.0.0.7", "2001:db8::/32"]"#).unwrap();
        let listed = ["196.201.214.9", "::ffff:196.201.214.9", "10.0.0.7", "2001:db8::1"];
        assert!(listed.iter().all(|address| list.contains(address.parse().unwrap())));
        let others = ["196.201.215.9", "10.0.0.8", "2001:db9::1", "::1"];
        assert!(!others.iter().any(|address| list.contains(address.parse().unwrap())));
    }

    #[test]
    fn what_is_no_address_is_refused_without_quoting_it() {
        for wrong in [r#"["196.201.214"]"#, r#"["example.com"]"#, r#"["1.2.3.4/33"]"#, r#"[""]"#] {
            let problem = addresses(wrong).unwrap_err();
            assert!(problem.contains("196.201.214.0/24") && !problem.contains("example"), "{problem}");
        }
    }
}
