//! Pushing images of the plan, all together.

use std::cell::RefCell;
use std::collections::BTreeMap;

use ferry_model::failure::Class;
use ferry_model::plan::Image;
use ferry_model::report::Failed;

use super::Known;
use crate::context::{Context, Manner};
use crate::push::{Item, Push, PushOptions, Target, Watch};

/// Pushes images together. `watch` is told what comes of each, by their order.
pub(crate) async fn push_images(context: &Context, known: &Known, images: &[&Image], watch: &impl Watch) {
    let mut registries: BTreeMap<String, (Vec<usize>, Vec<Item>)> = BTreeMap::new();
    for (index, image) in images.iter().enumerate() {
        match known.named(image) {
            Some(item) => {
                let (indexes, items) = registries.entry(image.registry.to_string()).or_default();
                indexes.push(index);
                items.push(item);
            }
            None => {
                let message = format!("{} is not in the bundle", image.source);
                watch.ended(index, Err(&Failed::because(Class::Verification, message)));
            }
        }
    }
    for (registry, (indexes, items)) in registries {
        let numbered = Numbered { watch, indexes: &indexes };
        if let Err(failed) = push_to(context, &registry, &items, &numbered).await {
            for &index in &indexes {
                watch.ended(index, Err(&failed));
            }
        }
    }
}

/// Fails only where nothing was tried.
async fn push_to(
    context: &Context,
    registry: &str,
    items: &[Item],
    watch: &impl Watch,
) -> Result<(), Failed> {
    let (bundle, client) = (context.bundle()?, context.client(Manner::Patient).await?);
    let target: Target =
        registry.parse().map_err(|error| Failed::because(Class::Input, format!("{error}")))?;
    let options = PushOptions { jobs: context.transfers(), recheck: false };
    let push = Push::new(bundle, &client, &target, options, &context.events);
    push.run(items, watch).await.map(drop).map_err(|error| Failed::new(&error))
}

/// Pushes a single image.
pub(super) async fn push_alone(context: &Context, image: &Image) -> Result<(), Failed> {
    let alone = Alone(RefCell::new(Ok(())));
    push_images(context, &Known::of(context), &[image], &alone).await;
    alone.0.into_inner()
}

/// Tells of one registry's items by their place among all.
struct Numbered<'a, W> {
    watch: &'a W,
    indexes: &'a [usize],
}

impl<W: Watch> Watch for Numbered<'_, W> {
    async fn begin(&self, items: &[usize]) -> BTreeMap<usize, Failed> {
        let all: Vec<usize> = items.iter().map(|&item| self.indexes[item]).collect();
        let mut refused = self.watch.begin(&all).await;
        items.iter().filter_map(|&item| Some((item, refused.remove(&self.indexes[item])?))).collect()
    }

    fn ended(&self, item: usize, result: Result<(), &Failed>) {
        self.watch.ended(self.indexes[item], result);
    }
}

/// How the one image came out.
struct Alone(RefCell<Result<(), Failed>>);

impl Watch for Alone {
    async fn begin(&self, _: &[usize]) -> BTreeMap<usize, Failed> {
        BTreeMap::new()
    }

    fn ended(&self, _: usize, result: Result<(), &Failed>) {
        *self.0.borrow_mut() = result.map_err(Clone::clone);
    }
}
