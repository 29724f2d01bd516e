//! What lies there already: the same, other content, and files at wrong paths.

use anyhow::{Result, ensure};
use ferry_model::Digest;

use super::ground::{ASSETS, Ground, PROJECT, RELEASES, STDLIB, after_paas, runtimes, shows_no_secret};

#[test]
fn everything_goes_up_once_and_comes_back() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "")?;
        ground.server.put_raw(PROJECT, ASSETS, "/operators/own.txt", b"mine")?;
        let planned = ground.run(&["plan", "bundle", "--detailed-exitcode"]).fail_with(4)?;
        planned.prints("6 files to upload to bkrepo")?;
        let applied = ground.apply().succeed()?;
        shows_no_secret(&ground, &applied)?;
        let mut with_own = ground.files.clone();
        with_own.insert("/operators/own.txt".into(), (Digest::of(b"mine"), 4));
        let ground = Ground { files: with_own, ..ground };
        ground.expect_all()?;

        ground.server.forget_requests();
        ground.apply().succeed()?.prints("nothing to do")?;
        let requests = ground.server.requests();
        ensure!(requests.iter().all(|asked| asked.body == 0 && asked.method == "GET"), "{requests:#?}");
        ensure!(requests.len() <= 4, "a page tells of all: {requests:#?}");

        ground.run(&["rollback"]).succeed()?.prints("undone")?;
        let left: Vec<String> = ground
            .server
            .files(PROJECT, ASSETS)
            .into_iter()
            .filter(|(_, file)| !file.folder)
            .map(|(path, _)| path)
            .collect();
        ensure!(left == ["/operators/own.txt"], "{left:?}");
    }
    Ok(())
}

#[test]
fn other_content_is_replaced_only_when_told() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "")?;
        let path = format!("/{STDLIB}");
        ground.server.put_raw(PROJECT, ASSETS, &path, b"another")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("a file with other content is there")?;
        ground.apply().fail_with(1)?.prints("overwrite: true")?;
        ensure!(ground.server.content(PROJECT, ASSETS, &path).as_deref() == Some(&b"another"[..]));
        ensure!(!ground.taken().contains_key(&path), "it was sent in vain");
        // The others are there all the same.
        ensure!(ground.taken().len() == ground.files.len() - 1);

        ground.site("  overwrite: true\n")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("what it replaces is not kept")?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        ground.run(&["rollback"]).run()?.prints("what it replaced is not kept")?;
        ground.expect_all()?;
    }
    Ok(())
}

#[test]
fn a_folder_in_a_files_place_goes_only_when_told() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "  overwrite: true\n")?;
        ground.server.put_raw(PROJECT, ASSETS, &format!("/{STDLIB}/stdlib.sh"), b"wrong")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("a folder lies where the file belongs")?;
        ground.apply().fail_with(1)?.prints("repair: true")?;
        ensure!(ground.server.files(PROJECT, ASSETS).contains_key(&format!("/{STDLIB}/stdlib.sh")));
        ground.site("  repair: true\n")?;
        ground.run(&["plan", "bundle"]).succeed()?.prints("remove the folder")?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

/// The loop of the deployment guide, as its text has it.
fn misplaced(path: &str) -> String {
    let (_, rest) = path.split_once('/').expect("it lies in a folder");
    format!("/{rest}/{}", rest.rsplit('/').next().expect("it has a name"))
}

#[test]
fn the_layout_that_the_guides_loop_leaves_is_known_and_mended() -> Result<()> {
    for release in RELEASES {
        let ground = Ground::usual(release, "")?;
        let all = runtimes();
        for (path, content) in &all {
            ground.server.put_raw(PROJECT, ASSETS, &misplaced(path), content)?;
        }
        // Beside one of them lies something else.
        let beside = "/buildpack-stdlib/v7/stdlib.sh/README";
        ground.server.put_raw(PROJECT, ASSETS, beside, b"mine")?;
        let plan = ground.run(&["plan", "bundle"]).succeed()?;
        plan.prints("6 files have copies at wrong paths")?.prints("repair: true")?;
        plan.prints("/bk-buildpack-python-v213.tar/bk-buildpack-python-v213.tar for /buildpacks/")?;
        ground.apply().succeed()?;
        let there = ground.server.files(PROJECT, ASSETS);
        ensure!(
            all.iter()
                .all(|(path, _)| there.contains_key(&format!("/{path}"))
                    && there.contains_key(&misplaced(path)))
        );
        let again = ground.apply().succeed()?;
        again.prints("nothing to do")?.prints("copies at wrong paths")?;

        ground.site("  repair: true\n")?;
        ground.server.forget_requests();
        ground.run(&["plan", "bundle"]).succeed()?.prints("remove its copy at")?;
        ground.apply().succeed()?;
        ensure!(ground.puts() == 0, "nothing had to be sent");
        let there = ground.server.files(PROJECT, ASSETS);
        ensure!(there.contains_key(beside), "what others put there stays");
        for (path, _) in &all {
            let wrong = misplaced(path);
            ensure!(there.contains_key(&format!("/{path}")) && !there.contains_key(&wrong), "{wrong}");
            let (folder, _) = wrong.rsplit_once('/').expect("it has one");
            let is_needed = beside.starts_with(&format!("{folder}/"));
            ensure!(there.contains_key(folder) == is_needed, "{folder}: {:?}", there.keys());
        }
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}

/// The wrong place of one file is a folder in the right place of another.
#[test]
fn mending_one_file_does_not_remove_another() -> Result<()> {
    for release in RELEASES {
        let (outer, inner) = (b"outer".to_vec(), b"inner".to_vec());
        let files = [("common/v7/stdlib.sh", outer.clone()), ("v7/stdlib.sh", inner)];
        let ground = Ground::new(after_paas(release), &files, "  repair: true\n")?;
        ground.server.put_raw(PROJECT, ASSETS, "/v7/stdlib.sh/stdlib.sh", &outer)?;
        ground.apply().succeed()?;
        ground.expect_all()?;
        ground.apply().succeed()?.prints("nothing to do")?;
    }
    Ok(())
}
