//! What a connection tells people, and never more than that.

use super::*;

#[test]
fn an_endpoint_that_is_not_added_is_told_why() {
    let (mut wire, key) = Wire::with_one();
    let name = EndpointName::parse("v", "tok").unwrap();
    let taken = wire.connection.add_endpoint(wire.now, name).unwrap_err();
    assert_eq!(taken, AddError::NameTaken(key));
    let cases = [
        (taken, "there is an endpoint of this name"),
        (AddError::TooMany, "there are too many endpoints"),
        (AddError::Closed, "the client is closed"),
    ];
    for (error, text) in cases {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_connection_shows_where_it_stands_and_no_token() {
    let mut wire = Wire::new(options());
    let key = wire.add("JTjdbENzHh");
    wire.submit(key, "hunter2");
    assert_eq!(wire.link().to_string(), "link 1");
    let shown = format!("{:?}", wire.connection);
    assert!(shown.contains("endpoints: 1, queued: 1"), "{shown}");
    assert!(!shown.contains("JTj") && !shown.contains("hunter2"));
}
