//! Calls over HTTP go where routes lead.

use super::*;
use crate::Config;
use crate::routes;

#[tokio::test]
async fn a_call_goes_where_its_route_leads() {
    let mut config = Config::memory();
    config.queues.insert("low".into(), "memory:low".to_owned());
    let memory = Memory::new(&config);
    let app = memory.app().tasks(tasks![Add, Echo]);
    let app = app
        .routes(routes::Routes::new().glob("ad?", "low"))
        .unwrap();
    let api = Api {
        memory,
        app,
        routes: Routes::ALL,
    };
    let low = || api.memory.queue().messages(&QueueName::new("low")).len();
    let args = r#"{"args": [2, 3]}"#;
    for (uri, body) in [
        ("/tasks/add", args),
        ("/tasks/plus", args),
        ("/tasks/echo", ""),
    ] {
        assert_eq!(api.post(uri, body).await.status, 202);
    }
    assert_eq!((low(), api.sent().len()), (2, 1));
    let said = r#"{"args": [2, 3], "options": {"queue": "default"}}"#;
    assert_eq!(api.post("/tasks/add", said).await.status, 202);
    assert_eq!((low(), api.sent().len()), (2, 2));
    let document = api.get("/openapi.json").await.json();
    assert_eq!(document["x-sedano-tasks"]["add"]["queue"], "low");
    assert_eq!(document["x-sedano-tasks"]["echo"]["queue"], "default");
}
