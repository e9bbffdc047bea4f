from griptape.artifacts import ImageArtifact, ListArtifact, TextArtifact
from griptape.memory.structure import ConversationMemory, Run

from conversation_memory.integrations.griptape import ConversationMemoryDriver
from conversation_memory.integrations.griptape_artifacts import write_artifact

from .member import CALLS, FILES, OPEN, PICTURE, REASONING, Member


class Griptape(Member):
    name = "Griptape"
    lacks = (CALLS, FILES, REASONING, OPEN)

    def memory(self, id):
        return ConversationMemory(
            conversation_memory_driver=ConversationMemoryDriver(driver=self.driver(id))
        )

    def add(self, id, messages):
        question, answer = messages
        self.memory(id).add_run(Run(input=question, output=answer))

    def read(self, id):
        return [
            {
                "id": run.id,
                "meta": run.meta,
                # The same as to_dict(), which takes a hundred times as long.
                "input": write_artifact(run.input),
                "output": write_artifact(run.output),
            }
            for run in self.memory(id).runs
        ]

    def shown(self, found):
        # An agent is sent input and output; the messages in the meta are for others.
        return super().shown([(run["input"], run["output"]) for run in found])

    def asked(self, text, *parts):
        said = self.said(text)
        return ListArtifact([said, *parts]) if parts else said

    def picture(self):
        return ImageArtifact(PICTURE, format="png", width=2, height=3)

    def said(self, text):
        return TextArtifact(text)
