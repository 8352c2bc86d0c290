//! Messages from phones, and opt-outs (Africa's Talking, "SMS notifications").

use domain::inbound::{Inbound, ListedOptOut, Origin};
use domain::phone::SenderId;
use domain::route::ProviderName;
use domain::secret::Body;

use crate::callback::{self, Params};
use crate::provider::{CallbackError, CallbackRequest};

/// `date` comes in two forms, of which one has no zone, so that the time is ours. `linkId`, `networkCode` and `cost` are
/// of no use to anybody yet; the callback is kept as it came.
pub(super) fn read(provider: &ProviderName, request: &CallbackRequest<'_>) -> Result<Inbound, CallbackError> {
    let params = Params::parse(request.body);
    let field = |name, missing| params.get(name).ok_or(CallbackError::Malformed(missing));
    Ok(Inbound {
        provider: provider.clone(),
        provider_message_id: callback::message_id(field("id", "no id")?)?,
        // May be the name of a network.
        from: callback::origin(field("from", "no from")?),
        to: callback::address(field("to", "no to")?),
        body: Body::new(params.get("text").unwrap_or_default()),
        segments: None,
        understood: None,
        received_at: request.received_at,
    })
}

/// Of a sender's promotions: the callback is about what its page calls bulk messages.
pub(super) fn opt_out(
    provider: &ProviderName,
    request: &CallbackRequest<'_>,
) -> Result<ListedOptOut, CallbackError> {
    let params = Params::parse(request.body);
    let number = params.get("phoneNumber").ok_or(CallbackError::Malformed("no phoneNumber"))?;
    let Origin::Phone(number) = callback::origin(number) else {
        return Err(CallbackError::Malformed("phoneNumber is none"));
    };
    Ok(ListedOptOut {
        provider: provider.clone(),
        number,
        sender: params.get("senderId").and_then(|sender| SenderId::parse(sender).ok()),
        received_at: request.received_at,
    })
}
