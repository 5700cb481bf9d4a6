#![allow(dead_code, unused_variables)]

#[sedano::task]
async fn distance((x, y): (f64, f64)) -> Result<f64, String> {
    Ok(x.hypot(y))
}

#[sedano::task]
async fn forget(_: String) {}

fn main() {}
