"""The promises of an integration, kept by that of Griptape."""

from django.test import SimpleTestCase
from griptape.artifacts import TextArtifact
from griptape.memory.structure import ConversationMemory, Run

from conversation_memory.integrations.griptape import ConversationMemoryDriver
from conversation_memory.testing import IndexTestMixin, IntegrationTestMixin


class GriptapeTests(IntegrationTestMixin, IndexTestMixin, SimpleTestCase):
    def memory(self, driver):
        return ConversationMemory(
            conversation_memory_driver=ConversationMemoryDriver(driver=driver)
        )

    def add(self, driver, question, answer):
        run = Run(input=TextArtifact(question), output=TextArtifact(answer))
        self.memory(driver).add_run(run)

    def read(self, driver):
        runs = self.memory(driver).runs
        return [part.value for run in runs for part in (run.input, run.output)]
