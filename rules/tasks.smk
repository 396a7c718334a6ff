"""What the rules of all kinds of task share."""

# what is scored: the model of a step
SCORED_WEIGHTS = "<results>/models/{model}/step-{step}/model.safetensors"
SCORED_FILES = expand(
    "<results>/models/{{model}}/step-{{step}}/{file}", file=MODEL_FILES
)
# kind of task -> the results by sentence that its rules make, with wildcards
RESULTS = {}


def task_settings(wildcards):
    """Settings of a task at a step of pre-training."""
    task = named("tasks", "task")(wildcards)
    return task.at(int(wildcards.step)).model_dump(mode="json")


def held_out_of_task(wildcards):
    """Held-out sentences of a task's corpus."""
    task = named("tasks", "task")(wildcards)
    return expand(rules.corpus.output.held_out, corpus=task.corpus)[0]


def files_of_task(part):
    """A function of the wildcards: a task's files of a part from outside; a mere plan leaves out missing ones."""

    def find(wildcards):
        task = named("tasks", "task")(wildcards).at(int(wildcards.step))
        files = task.outside_files()[part]
        return [file for file in files if Path(file).is_file() or not ONLY_PLAN]

    return find
