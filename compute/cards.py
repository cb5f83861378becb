"""The table of failures: a card for each phase and word that a job can fail with. Pure.

Its texts are what consumers, data owners and operators read: in the job object, at the command
line, and on docs/failures.md, which is made of it (``make failures-page``).
"""

from __future__ import annotations

from compute.reasons import Card, Entry, Reason, Retry, Who
from compute.status import Phase

_C, _D, _O = Who.CONSUMER, Who.DATA_OWNER, Who.OPERATOR
_BEFORE_THE_END = (Phase.IMAGE_FAILED, Phase.VOLUMES_FAILED, Phase.CONTAINER_FAILED)
_LOG = "ocean-compute logs JOB"

_IN_THE_QUEUE = (
    Entry(
        (Phase.EXPIRED,),
        Reason.QUEUE_WAIT,
        Card(
            "The job waited for a place longer than its environment lets jobs wait.",
            (_C, _O),
            Retry.HELPS_LATER,
            "Start it again when fewer jobs wait, or in another environment. An operator can"
            " raise maxQueueWait or maxJobs.",
        ),
    ),
    Entry(
        (Phase.EXPIRED,),
        Reason.PAID_TIME_OVER,
        Card(
            "The time that was paid for was over before the job had a place.",
            (_C, _O),
            Retry.HELPS_LATER,
            "Order time again when fewer jobs wait, and enough of it to wait as well as to run.",
        ),
    ),
    Entry(
        (Phase.STOPPED, Phase.PUBLISHING_FAILED),
        Reason.ENVIRONMENT_REMOVED,
        Card(
            "The environment was removed while the job was in it. What was to keep its results"
            " safe is not known any more, so nothing is published.",
            (_O,),
            Retry.DOES_NOT_HELP,
            "Choose another environment, or ask the operator what became of this one.",
        ),
    ),
)

_IMAGES = (
    Entry(
        (Phase.IMAGE_FAILED,),
        Reason.IMAGE_UNAVAILABLE,
        Card(
            "The image is not to be had: there is none of this name, tag and checksum for this"
            " kind of machine, the provider may not pull it, or a pull takes too long.",
            (_C, _O),
            Retry.DOES_NOT_HELP,
            "Check the image's name, tag and checksum, for instance by pulling it yourself. An"
            " image that is private or has to lie on the machine is the operator's to provide.",
        ),
    ),
    Entry(
        (Phase.CONTAINER_FAILED,),
        Reason.IMAGE_UNAVAILABLE,
        Card(
            "The image was there and was removed from the machine before the container was made.",
            (_O,),
            Retry.HELPS,
            "Start the job again: the image is then had anew. An operator's clean-up of images"
            " should leave those alone that jobs are about to use.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.IMAGE_UNAVAILABLE,
        Card(
            "A filter image that the outputs have to pass is not to be had, so they are withheld.",
            (_O, _D),
            Retry.DOES_NOT_HELP,
            "filterImage has to be corrected, by the operator for an environment and by the data"
            " owner for a dataset, or the image brought to the machine.",
        ),
    ),
    Entry(
        (Phase.IMAGE_FAILED,),
        Reason.IMAGE_UNREACHABLE,
        Card(
            "The image's registry could not be reached, asked to wait, or answered with a fault"
            " of its own.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. An operator can look at the way to the registry, its"
            " limits for pulls, and credentials.",
            tried_again=True,
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.IMAGE_UNREACHABLE,
        Card(
            "The registry of a filter image that the outputs have to pass could not be reached,"
            " so they are withheld.",
            (_O,),
            Retry.HELPS_LATER,
            "The operator should pull filter images before they are needed.",
            tried_again=True,
        ),
    ),
)

_INPUTS = (
    Entry(
        (Phase.DATA_FAILED,),
        Reason.INPUT_UNAVAILABLE,
        Card(
            "A dataset is not to be had: it is gone or has changed, may not be used any more,"
            " or is larger than the provider takes.",
            (_D, _O, _C),
            Retry.DOES_NOT_HELP,
            "The evidence says which. What is gone or has changed is the data owner's to mend,"
            " a size or an address that is not allowed the operator's, and who may not use it"
            " any more has to ask its owner.",
        ),
    ),
    Entry(
        (Phase.DATA_FAILED,),
        Reason.INPUT_UNREACHABLE,
        Card(
            "The place where a dataset lies did not answer, broke off, or answered with a fault"
            " of its own.",
            (_D, _O),
            Retry.HELPS_LATER,
            "Start the job again later. If that lasts, the data owner should look at where the"
            " files lie, and the operator at the way there.",
            tried_again=True,
        ),
    ),
    Entry(
        (Phase.ALGORITHM_MISSING,),
        Reason.INPUT_UNAVAILABLE,
        Card(
            "The algorithm's file is not to be had: it is gone or has changed, its address is"
            " not allowed, or it is too large.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "The evidence says which. Send the code with the start, or have the algorithm's"
            " publisher mend the address.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_MISSING,),
        Reason.INPUT_UNREACHABLE,
        Card(
            "The place where the algorithm lies did not answer, broke off, or answered with a"
            " fault of its own.",
            (_C, _O),
            Retry.HELPS_LATER,
            "Start the job again later, or send the code with the start.",
            tried_again=True,
        ),
    ),
)

_CONTAINERS = (
    Entry(
        (Phase.CONTAINER_FAILED,),
        Reason.ENTRYPOINT_REFUSED,
        Card(
            "The entrypoint cannot be run: the image has no such program, it is no program for"
            " this machine, or the command line cannot be split.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Correct the entrypoint, or take an image that has the program.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.ENTRYPOINT_REFUSED,
        Card(
            "A filter image that the outputs have to pass has nothing that can be run, so they"
            " are withheld.",
            (_O, _D),
            Retry.DOES_NOT_HELP,
            "filterImage has to be corrected, by the operator for an environment and by the data"
            " owner for a dataset.",
        ),
    ),
    Entry(
        (Phase.CONTAINER_FAILED,),
        Reason.SECRET_UNAVAILABLE,
        Card(
            "A secret that the job was started with cannot be opened any more, as after a"
            " change of the provider's key.",
            (_O, _C),
            Retry.HELPS,
            "Start the job again, so that its secrets are sealed anew.",
        ),
    ),
    Entry(
        (Phase.IMAGE_FAILED, Phase.CONTAINER_FAILED, Phase.PUBLISHING_FAILED),
        Reason.ENGINE_REFUSED,
        Card(
            "The container engine will not do what the environment asks of it: a network, a"
            " device, a user or an option that it does not have.",
            (_O,),
            Retry.DOES_NOT_HELP,
            "The evidence has the engine's words. The operator has to make the environment and"
            " the engine fit each other.",
        ),
    ),
    Entry(
        (Phase.IMAGE_FAILED, Phase.CONTAINER_FAILED),
        Reason.ENGINE_FAULT,
        Card(
            "The container engine answers, but with a fault of its own, again and again.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator finds the engine's words in its log.",
            tried_again=True,
        ),
    ),
)

_RUNS = (
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.EXIT_CODE,
        Card(
            "The algorithm ran and ended with an error of its own.",
            (_C,),
            Retry.DOES_NOT_HELP,
            f"Read what it printed ('{_LOG}') and mend it; 'ocean-compute dry-run' runs it under"
            " the same rules on your machine. Above 128 the exit code is 128 and a signal's"
            " number: 139 is a crash. 137, 143 or 255 without a word in the log can also mean"
            " that the engine or the machine was restarted, or that somebody ended the"
            " container; then a retry helps.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.OUT_OF_MEMORY,
        Card(
            "The algorithm used more memory than the environment gives, and was ended.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Read the data in parts, or choose an environment with more ramGB.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.TIME_LIMIT,
        Card(
            "The algorithm ran longer than a job may, and was ended.",
            (_C, _O),
            Retry.DOES_NOT_HELP,
            "Make it faster, give it less to do, or choose an environment with a longer"
            " maxJobDuration.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.PAID_TIME_OVER,
        Card(
            "The time that was paid for was over before the algorithm's end.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Order more time: it begins with the order, so waiting and fetching count, too.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.CONTAINER_GONE,
        Card(
            "Somebody or something removed the algorithm's container from the engine before its"
            " end was seen.",
            (_O,),
            Retry.HELPS,
            "Start the job again. The provider does not do that by itself: nobody knows how far"
            " the algorithm had come, and no job runs twice.",
        ),
    ),
    Entry(
        (Phase.ALGORITHM_FAILED,),
        Reason.NEVER_STARTED,
        Card(
            "The engine had said that the algorithm runs, and then that it never did.",
            (_O,),
            Retry.HELPS,
            "Start the job again. The provider does not do that by itself: of two answers that"
            " contradict each other it cannot tell which is true, and no job runs twice.",
        ),
    ),
    Entry(
        (Phase.QUOTA_EXCEEDED,),
        Reason.DISK_QUOTA,
        Card(
            "The algorithm wrote more than the environment gives room for.",
            (_C,),
            Retry.DOES_NOT_HELP,
            "Write less or compress it, keep scratch files in /tmp, or choose an environment"
            " with more diskGB.",
        ),
    ),
)

_RESULTS = (
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.FILTER_FAILED,
        Card(
            "A filter of the environment or of a dataset did not let the outputs pass, or failed;"
            " they are withheld.",
            (_C, _O, _D),
            Retry.DOES_NOT_HELP,
            "Find out what the filter lets pass. If it lets nothing pass at all, the operator,"
            " or the data owner whose filter it is, should look at it.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.EGRESS_REFUSED,
        Card(
            "What the algorithm wrote or printed breaks a rule about what may leave the"
            " provider; nothing of it is published.",
            (_C, _D),
            Retry.DOES_NOT_HELP,
            "The evidence names the rule. Write results that keep it; 'ocean-compute dry-run'"
            " shows before which rule would fire. Where it says that an input was changed while it"
            " was used, start the job again.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.OWNER_REFUSED,
        Card(
            "A reviewer, of a dataset or of the environment, has refused to release the results.",
            (_D, _C),
            Retry.DOES_NOT_HELP,
            "Ask the data owner what may be released, and write that.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.HOLD_EXPIRED,
        Card(
            "The results were held for a data owner's decision, and nobody decided in time.",
            (_D,),
            Retry.HELPS,
            "Tell the data owner that something is held, and start the job again.",
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.SEALING_FAULT,
        Card(
            "The results could not be encrypted to the key that was given with the start.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator finds more in the service's log.",
            tried_again=True,
        ),
    ),
    Entry(
        (Phase.PUBLISHING_FAILED,),
        Reason.PUBLISHING_FAULT,
        Card(
            "The algorithm ran, but its outputs could not be made into results.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator should look at the disk that DATA_DIR lies"
            " on.",
            tried_again=True,
        ),
    ),
)

_ANYWHERE = (
    Entry(
        (*_BEFORE_THE_END, Phase.PUBLISHING_FAILED),
        Reason.VOLUME_FAULT,
        Card(
            "The provider's disk had no room for the job, or its space could not be made or"
            " was lost.",
            (_O,),
            Retry.HELPS_LATER,
            "Start the job again later. The operator should look at the disk that DATA_DIR lies"
            " on: whether it is full, and whether it may be mounted on.",
            tried_again=True,
        ),
    ),
    Entry(
        (*_BEFORE_THE_END, Phase.PUBLISHING_FAILED),
        Reason.INTERNAL_FAULT,
        Card(
            "Something went wrong in the provider that it had not foreseen.",
            (_O,),
            Retry.HELPS_LATER,
            "Tell the operator the job's id: the service's log has the rest.",
            tried_again=True,
        ),
    ),
)

TABLE: tuple[Entry, ...] = (
    *_IN_THE_QUEUE,
    *_IMAGES,
    *_INPUTS,
    *_CONTAINERS,
    *_RUNS,
    *_RESULTS,
    *_ANYWHERE,
)
