//! The simulator held against what is known of the real wire, over HTTP and with a client of its own.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

mod africastalking_query;

mod africastalking_report;

mod africastalking_submit;

mod control;

mod faults;

mod faults_of_receipts;

mod ledger;

mod simulator_stop;

mod twilio_auth;

mod twilio_callback;

mod twilio_list;

mod twilio_resource;

mod twilio_submit;
