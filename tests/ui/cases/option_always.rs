use sedano::task;

#[task(acks_late, track_started, store_errors_even_if_ignored)]
async fn late() {}

#[task(acks_late = false)]
async fn early() {}

fn main() {}
